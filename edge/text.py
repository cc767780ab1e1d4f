"""Names as people have them: in any script, in any encoding, on one line."""

import os
import unicodedata

_CONTROL = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of surrogate pairs, ends of lines and paragraphs
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"  # these change the direction of what follows


def printable(text: str) -> bool:
    """Whether a text can stand in a line and change nothing around it; it may have the joiners of emoji and Persian."""
    return not any(char in _TURNS or unicodedata.category(char) in _CONTROL for char in text)


def name_of(path: str | os.PathLike[str]) -> str:
    """A path as text, the same in every locale; bytes that are no UTF-8 become halves of surrogate pairs."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def path_of(name: str) -> str:
    """The path that `name_of` gave as text."""
    return os.fsdecode(name.encode("utf-8", "surrogateescape"))


def one_line(text: str) -> str:
    """A text that may hold anything, with escapes for what does not stay in its line."""
    return "".join(char if printable(char) else char.encode("unicode_escape").decode() for char in text)
