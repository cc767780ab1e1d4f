"""Names as people have them: in any script, in any encoding, on one line."""

import os
import unicodedata

from edge.errors import UserError

_CONTROL = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of surrogate pairs, ends of lines and paragraphs
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"  # these change the direction of what follows


def printable(text: str) -> bool:
    """Whether a text can stand in a line and change nothing around it; it may have the joiners of emoji and Persian."""
    return not any(char in _TURNS or unicodedata.category(char) in _CONTROL for char in text)


def one_line(text: str) -> str:
    """A text that may hold anything, with escapes for what does not stay in its line."""
    return "".join(char if printable(char) else char.encode("unicode_escape").decode() for char in text)


def utf8(path: str | os.PathLike[str]) -> str:
    """The name of a file for a library that dies of one that is no UTF-8, as OpenCV does.

    Raises:
        UserError: for such a name.
    """
    name = os.fspath(path)
    if any(unicodedata.category(char) == "Cs" for char in name):
        raise UserError(f"{name}: expected a name in UTF-8, found another encoding; rename it")
    return name
