"""`doctor.csv`: what the doctor suggests for each picture, for a spreadsheet to edit; and doing what it says.

Pictures are moved, never deleted: into the folder of another class, or aside, into a folder beside the data that has
the same folders in it. All rows are checked before the first picture is moved, and if a move fails, those before it are
taken back.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from edge.errors import UserError
from edge.files import unused, whole
from edge.folder import find_pictures
from train.dataset import Dataset
from train.doctor import ASIDE, KEEP, LOOK, MOVE, Finding
from train.splits import TEST, TRAIN, VALIDATION, find_layout

COLUMNS = ["path", "finding", "suggestion"]
_MEAN_NOTHING = {"", LOOK, KEEP}
_FORMULA = "=", "+", "-", "@"  # what a spreadsheet would take for a formula


def write_table(path: Path, root: Path, findings: Sequence[Finding]) -> None:
    """One row for each picture of each finding; an earlier table that was edited stays as `….bak`.

    Of several suggestions to move one picture, the most serious stands.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    moved: set[Path] = set()
    for finding in findings:
        for row in finding.rows:
            suggestion = row.suggestion if row.path not in moved else LOOK
            if suggestion not in _MEAN_NOTHING:
                moved.add(row.path)
            name = row.path.relative_to(root).as_posix()
            writer.writerow(["./" * name.startswith(_FORMULA) + name, finding.name, suggestion])
    data = text.getvalue().encode("utf-8-sig", "surrogateescape")  # with a mark, else Excel takes it for Latin-1
    if path.is_file() and path.read_bytes() != data:
        path.replace(path.with_name(f"{path.name}.bak"))
    with whole(path) as part:
        part.write_bytes(data)


def apply_table(path: Path, data: Dataset) -> dict[Path, Path]:
    """Move the pictures as the table says: where each was, and where it is.

    Raises:
        UserError: for a table that cannot be read, or a row that cannot be done; nothing was moved then.
    """
    moves: dict[Path, Path] = {}
    try:
        for source, target in _plan(path, data).items():
            target.parent.mkdir(parents=True, exist_ok=True)
            target = unused(target)
            source.rename(target)
            moves[source] = target
    except BaseException as error:
        for source, target in reversed(moves.items()):
            target.rename(source)
        if isinstance(error, OSError):
            raise UserError(f"{source}: cannot be moved: {error.strerror or error}; nothing was changed") from error
        raise
    return moves


def _plan(path: Path, data: Dataset) -> dict[Path, Path]:
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise UserError(f"{path}: expected a table that --doctor wrote, found: {error.strerror or error}") from error
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)  # a spreadsheet saves with that of its country
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}: expected a CSV table, found: {error}") from error
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or [])]:
        raise UserError(f"{path}: expected the columns {', '.join(COLUMNS)}, found no {', '.join(missing)}")
    splits = {TRAIN: data.train, VALIDATION: data.validation, TEST: data.test}
    role = {picture.path: TRAIN if data.own_split and name == VALIDATION else name
            for name, pictures in splits.items() for picture in pictures}  # fmt: skip
    layout = find_layout(data.root, find_pictures(data.root)).splits
    known = {*role, *data.skipped}
    plan: dict[Path, Path] = {}
    for line, row in rows:
        suggestion = (row["suggestion"] or "").strip()
        if suggestion.lower() in _MEAN_NOTHING:
            continue
        name = row["path"] or ""
        source, where = data.root / name, f"{path}, line {line}"
        if source not in known:
            raise UserError(f"{where}: expected the path of a picture below {data.root}, found {name!r}")
        if source in plan:
            raise UserError(f"{where}: expected one suggestion to move {name}, found two")
        label = suggestion[len(MOVE) :].strip()
        if suggestion.lower() == ASIDE:
            plan[source] = _aside(data.root) / source.relative_to(data.root)
        elif suggestion.lower().startswith(MOVE) and label in data.labels:
            folders = layout[role.get(source, TRAIN)].get(label)
            if not folders:
                raise UserError(f"{where}: expected a folder of {label} beside that of {name}, found none; make it")
            if not any(folder in source.parents for folder in folders):
                plan[source] = folders[0] / source.name
        else:
            labels = ", ".join(data.labels[:10]) + (" and so on" if len(data.labels) > 10 else "")
            raise UserError(
                f"{where}: expected {ASIDE!r}, {KEEP!r}, {LOOK!r}, or {MOVE!r} and a label ({labels}), "
                f"found {suggestion!r}"
            )
    return plan


def _aside(root: Path) -> Path:
    root = root.resolve()
    return root.with_name(f"{root.name}-set-aside")
