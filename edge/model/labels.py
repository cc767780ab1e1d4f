"""Label files as people have them: lines, numbered lines, JSON, Python, CSV, YAML, in whatever encoding.

    names, notes = read_labels(Path("labels.txt").read_bytes(), expected=3)

Numbers are taken off only where they count the lines and names remain: "0 cat", "1 dog", but not "1 Euro", "2 Euro".
"""

import ast
import codecs
import csv
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

_BOMS = (  # that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What a list of labels, and the name of one label, is called in files of JSON, YAML and CSV.
_LISTS = (
    "names", "labels", "classes", "class_names", "categories", "label_names", "id2label", "idx_to_class",
    "index_to_class", "class_to_idx", "class_indices", "label2id",
)  # fmt: skip
_NAMES = ("name", "label", "class", "class_name", "classname", "label_name", "category", "display_name", "title")
_NUMBERS = ("id", "index", "idx", "class_id", "label_id", "class_index", "number")
_BACKGROUND = ("background", "__background__", "_background_", "???")
_DELIMITERS = ",;\t|"
_NUMBERED = re.compile(r"(\d+)(?:\s*[:,;=|\t]\s*(?!\d)|[.)\-]\s+|\s+[-:]\s+|\s+)(\S.*)")
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")


def read_labels(data: bytes, expected: int | None = None) -> tuple[list[str], list[str]]:
    """The labels of a file, each different from the others, and notes on what was not plain in it.

    Args:
        data: the bytes of the file.
        expected: how many the model has, if that is known.

    Raises:
        ValueError: one sentence, if it is no text, holds no labels, or others than so many.
    """
    text, notes = decode(data)
    value = read_value(text)
    names = _from_value(value) if value is not None else _table(text) or _lines(text, expected, notes)
    names = [" ".join(unicodedata.normalize("NFC", name).split()) for name in names]
    if expected is not None and len(names) != expected:
        lines = text.strip().splitlines()
        blank = [place for place, line in enumerate(lines, 1) if not line.strip()]
        if value is None and blank and len(lines) == expected:
            raise ValueError(f"expected {expected} labels, found none in line {blank[0]}")
        if len(names) + 1 == expected > 2:
            names = ["background", *names]
            notes.append("one output more than labels: the first is taken for the background")
        elif len(names) == expected + 1 and names[0].lower() in _BACKGROUND:
            notes.append(f"one label more than outputs: {names[0]} is left out")
            names = names[1:]
    often = Counter(names)
    return [f"{name} ({place})" if often[name] > 1 else name for place, name in enumerate(names)], notes


def decode(data: bytes) -> tuple[str, list[str]]:
    """The text of a file, and a note if its encoding had to be guessed."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, "replace"), []
    if 0 in data:
        for encoding, zeros in (("utf-16-le", data[1::2]), ("utf-16-be", data[::2])):
            if zeros.count(0) > 0.7 * len(zeros):
                return data.decode(encoding, "replace"), []
        raise ValueError("expected a text with labels, found bytes that are none")
    try:
        return data.decode(), []
    except UnicodeDecodeError:
        encoding = "cp1252" if not re.search(rb"[\x81\x8d\x8f\x90\x9d]", data) else "latin-1"
        text = data.decode(encoding)
        odd = next(word for word in re.split(r"[\r\n,;\t]", text) if not word.isascii())
        return text, [
            f"labels that are no UTF-8 are read as {encoding}: {odd.strip()}; if that is wrong, save as UTF-8"
        ]


def read_value(text: str) -> Any:
    """What a text of JSON, a Python literal, YAML or a label map (`item { id: 1 name: "cat" }`) holds; None of others.

    Raises:
        ValueError: if it begins as one and is none.
    """
    text = text.strip().lstrip("\ufeff")
    if items := re.findall(r"item\s*\{([^}]*)\}", text):
        return [
            dict(_pair(line) for line in re.findall(r"\w+\s*:\s*(?:\"[^\"]*\"|'[^']*'|[^\s,]+)", it)) for it in items
        ]
    plain = re.sub(r"^\w+\s*(?::[^=\n]*)?=\s*", "", text)  # labels = […]
    if plain == text and re.search(rf"^({'|'.join(_LISTS)})\s*:", text, re.M):
        return _yaml(text)
    text = plain
    if call := re.fullmatch(r"[\w.]+\(\s*([\[({].*[\])}])[^\])}]*\)\s*;?", text, re.S):  # np.array([…], dtype=…)
        text = call[1]
    if text[:1] not in "[{(" or text[:1] == "":
        return None
    for read in (json.loads, ast.literal_eval, _flow):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        # A set forgets the order that was written, and Python makes one of 'a' 'b', as numpy prints a list.
        joined = isinstance(value, list) and len(value) == 1 < len(_QUOTED.findall(text))
        return _flow(text) if isinstance(value, set) or joined else value
    if not set(text) & set("\"',:"):
        return None  # one label a line, of which the first is (in brackets)
    raise ValueError("expected a list of labels, found brackets that do not hold one")


def _yaml(text: str) -> dict[str, Any]:
    """The keys at the margin of a YAML text; lists and tables of one level, in a line or in a block."""
    found: dict[str, Any] = {}
    parts = re.split(r"^([A-Za-z_]\w*)\s*:", text, flags=re.M)
    for key, rest in zip(parts[1::2], parts[2::2], strict=True):
        rest = re.sub(r"(^|\s)#.*$", "", rest, flags=re.M).strip()
        lines = [line.strip() for line in rest.splitlines() if line.strip() and line.strip() != "---"]
        if rest[:1] in ("[", "{"):
            found[key] = _flow(rest)
        elif lines and all(line.startswith("- ") for line in lines):
            found[key] = [_bare(line[2:]) for line in lines]
        elif lines and all(re.match(r"[^:]+:\s", line) for line in lines):
            found[key] = dict(map(_pair, lines))
        else:
            found[key] = _bare(rest)
    return found


def _flow(text: str) -> Any:
    """A list or table whose words need no quotes, nor commas where they have them: [cat, dog], {0: cat}, ['a' 'b']."""
    match = re.fullmatch(r"[\[({](.*)[\])}]\s*[;,]?", text.strip(), re.S)
    if match is None or re.search(r"[\[\]{}]", _QUOTED.sub("", match[1])):
        raise ValueError("no flat list")
    bare = _QUOTED.sub("", match[1])
    if ":" in bare:
        return dict(_pair(part) for part in re.findall(r"(?:'[^']*'|\"[^\"]*\"|[^,'\"])+", match[1]) if part.strip())
    if not bare.replace(",", "").strip():
        return [first or second for first, second in _QUOTED.findall(match[1])]
    return [_bare(part) for part in match[1].split(",") if part.strip()]


def _pair(text: str) -> tuple[str, str]:
    match = re.match(r"""\s*('[^']*'|"[^"]*"|[^:]*?)\s*:(.*)""", text, re.S)
    if match is None:
        raise ValueError(f"expected a name and a value, found {text.strip()}")
    return _bare(match[1]), _bare(match[2])


def _bare(text: str) -> str:
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _from_value(value: Any) -> list[str]:
    """The labels in a list, or in a table of numbers to names, of names to numbers, or with a list somewhere in it.

    Raises:
        ValueError: if there are none.
    """
    if isinstance(value, list | tuple):
        if value and all(isinstance(each, dict) for each in value):
            rows = [{str(key).lower(): each[key] for key in each} for each in value]
            name = next((key for key in reversed(_NAMES) if all(key in row for row in rows)), None)
            number = next((key for key in _NUMBERS if all(_whole(row.get(key)) for row in rows)), None)
            if name is None:
                raise ValueError(f"expected a name in each entry ({', '.join(_NAMES[:3])}), found {list(rows[0])[:5]}")
            names = [str(row[name]) for row in rows]
            return _by_number(dict(zip((int(r[number]) for r in rows), names, strict=True))) if number else names
        return [_word(each) for each in value]
    if isinstance(value, dict) and value:
        if all(map(_whole, value)):
            return _by_number({int(key): _word(each) for key, each in value.items()})
        if all(map(_whole, value.values())):
            return _by_number({int(number): str(name) for name, number in value.items()})
        keys = {str(key).lower(): key for key in value}
        for name in _LISTS:
            if name in keys and isinstance(value[keys[name]], list | tuple | dict):
                return _from_value(value[keys[name]])
    raise ValueError("expected a list of labels, or a table of numbers and labels, found neither")


def _word(value: Any) -> str:
    """A name; the last of several, as {"0": ["n01440764", "tench"]} has them."""
    if isinstance(value, list | tuple) and value:
        value = value[-1]
    if not isinstance(value, str | int | float):
        raise ValueError(f"expected a label, found {str(value)[:60]}")
    return str(value)


def _whole(value: Any) -> bool:
    return (
        isinstance(value, str | int)
        and not isinstance(value, bool)
        and re.fullmatch(r"\s*\d+\s*", str(value)) is not None
    )


def _counts(numbers: Sequence[int]) -> bool:
    return bool(numbers) and sorted(numbers) in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))


def _by_number(names: dict[int, str]) -> list[str]:
    if not _counts(list(names)):
        raise ValueError(f"expected labels with numbers from 0 or 1 without gaps, found {sorted(names)[:10]}")
    return [names[number] for number in sorted(names)]


def _remain(numbers: Sequence[int], names: Sequence[str]) -> bool:
    """Whether names remain without their numbers: they differ. From 1 they must nearly all do: "1 Euro", "2 Euro"."""
    return _counts(numbers) and len(set(names)) > len(names) * (0.5 if min(numbers) == 0 else 0.9)


def _table(text: str) -> list[str]:
    """The labels of a CSV file that has a column of numbers, or a header with a word for them; else none."""
    lines = [line for line in text.splitlines() if line.strip()]
    for delimiter in _DELIMITERS:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]
        width = len(rows[0]) if rows else 0
        if len(rows) < 2 or width < 2 or any(len(row) != width for row in rows):
            continue
        head = [cell.lower().replace(" ", "_") for cell in rows[0]]
        named = [place for word in _NAMES for place, cell in enumerate(head) if cell == word]
        body = rows[1:] if not any(map(_whole, rows[0])) and (named or set(head) & set(_NUMBERS)) else rows
        columns = list(zip(*body, strict=True))
        numbers = [place for place in range(width) if all(map(_whole, columns[place]))]
        numbers = [place for place in numbers if _counts(list(map(int, columns[place])))]
        words = named if body is not rows else []
        words += [place for place in range(width) if place not in numbers and not all(map(_whole, columns[place]))]
        if words and words[0] in numbers:
            words = [place for place in words if place not in numbers]
        if words and numbers:
            order = list(map(int, columns[numbers[0]]))
            decimals = all(cell[:1].isdigit() for cell in columns[words[0]])  # "0,5 l", "1,5 l"
            if body is not rows or (_remain(order, columns[words[0]]) and not decimals):
                return _by_number(dict(zip(order, columns[words[0]], strict=True)))
        elif words and body is not rows and named:
            return list(columns[words[0]])
    return []


def _lines(text: str, expected: int | None, notes: list[str]) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and expected != 1:
        parts = next((lines[0].split(each) for each in _DELIMITERS if each in lines[0]), lines[0].split())
        if len(parts) == expected or any(each in lines[0] for each in _DELIMITERS):
            lines = [part.strip() for part in parts if part.strip()]
    if len(lines) > 1 and all(line.endswith(",") for line in lines[:-1]):
        lines = [line.rstrip(",").rstrip() for line in lines]
    if lines and all(line[:2] in ("- ", "* ") for line in lines):
        lines = [line[2:].strip() for line in lines]
    if expected is not None and len(lines) > expected:
        rest = [line for line in lines if not line.startswith("#")]
        rest = rest[1:] if len(rest) == expected + 1 and rest[0].lower() in (*_NAMES, *_LISTS) else rest
        if len(rest) == expected:
            notes.append(f"no label, but a heading or remark: {next(line for line in lines if line not in rest)}")
            lines = rest
    pairs = [(int(match[1]), match[2].strip()) for line in lines if (match := _NUMBERED.fullmatch(line))]
    numbers, names = [number for number, _ in pairs], [name for _, name in pairs]
    if len(pairs) == len(lines) and _remain(numbers, names):
        if numbers == sorted(numbers) or all(re.match(r"\d+\s*[:,;=|\t]", line) for line in lines):
            if numbers[0] == 1:
                notes.append(
                    f"the numbers before the labels count the lines and are left out: {names[0]}, not {lines[0]}"
                )
            lines = _by_number(dict(pairs))
    else:
        ends = [match for line in lines if (match := re.fullmatch(r"(.*\S)\s*[:=\t]\s*(\d+)", line))]
        if len(ends) == len(lines) and _remain([int(match[2]) for match in ends], [match[1] for match in ends]):
            lines = _by_number({int(match[2]): match[1] for match in ends})
    if lines and all(_bare(line) != line for line in lines):
        lines = [_bare(line) for line in lines]
    return lines
