"""The run directory that `train` writes and `convert` reads.

    python -m train.rundir runs/photos

prints the folder of its validation pictures (or of all of them, where the split was made here).
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.cli import run_command
from edge.errors import UserError
from edge.files import whole
from edge.model.contract import ModelSpec
from train.dataset import Dataset, Picture

MODEL, SPEC, LABELS, SPLIT, METRICS = "model.keras", "spec.json", "labels.txt", "split.json", "metrics.json"


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its contract, its measured figures, and the pictures of its splits."""

    folder: Path
    spec: ModelSpec
    metrics: dict[str, Any]
    train: list[Picture]
    validation: list[Picture]
    test: list[Picture] = field(default_factory=list)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all. File names that are no UTF-8 are escaped, and come back as they were."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with whole(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_run(folder: Path, spec: ModelSpec, data: Dataset) -> None:
    """Write `spec.json`, `labels.txt` and `split.json`; the model and the figures are written by their makers.

    The figures come last, and those of an earlier run go first: without them a folder counts as no run.
    """
    (folder / METRICS).unlink(missing_ok=True)
    with whole(folder / SPEC) as part:
        part.write_text(spec.to_json(), encoding="utf-8")
    with whole(folder / LABELS) as part:
        part.write_text("\n".join(spec.labels) + "\n", encoding="utf-8")
    write_json(
        folder / SPLIT,
        {
            "data": str(data.root.resolve()),
            "train": _by_label(data, data.train),
            "validation": _by_label(data, data.validation),
            "test": _by_label(data, data.test),
            "own_split": data.own_split,
            "groups": {
                str(picture.path.relative_to(data.root)): picture.group
                for picture in [*data.train, *data.validation, *data.test]
                if picture.group
            },
            "skipped": {str(path.relative_to(data.root)): reason for path, reason in data.skipped.items()},
        },
    )


def news(folder: Path, data: Dataset) -> str:
    """What is new in the data since the run in `folder`, in words; "" if there is none, or it had other data."""
    try:
        split = json.loads((folder / SPLIT).read_bytes())
        if split["data"] != str(data.root.resolve()):
            return ""
        names = ("train", "validation", "test")
        before = {
            path: digest for name in names for each in split.get(name, {}).values() for path, digest in each.items()
        }
    except (OSError, ValueError, KeyError, AttributeError):
        return ""
    pictures = [*data.train, *data.validation, *data.test]
    now = {str(picture.path.relative_to(data.root)): picture.digest for picture in pictures}
    digests, kept = set(before.values()), set(now.values())
    changed = sum(digest not in digests and path in before for path, digest in now.items())
    new = sum(digest not in digests and path not in before for path, digest in now.items())
    gone = sum(digest not in kept and path not in now for path, digest in before.items())
    return f"since the last run into {folder}: {new} pictures are new, {changed} changed, {gone} gone"


def _by_label(data: Dataset, pictures: list[Picture]) -> dict[str, dict[str, str]]:
    """Label to the pictures of it: path below the data folder to the SHA-256 of its bytes."""
    table: dict[str, dict[str, str]] = {label: {} for label in data.labels}
    for picture in pictures:
        table[data.labels[picture.label]][str(picture.path.relative_to(data.root))] = picture.digest
    return table


def read_run(folder: str | Path) -> Run:
    """Read a run directory back.

    Raises:
        UserError: if it is none, or a file of it is missing, damaged, or does not fit the others.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a run directory, found {'a file' if folder.exists() else 'nothing'}")
    missing = [name for name in (MODEL, SPEC, SPLIT, METRICS) if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder}: expected a run directory of `python -m train`, found no {', '.join(missing)} in it")
    try:
        spec = ModelSpec.from_json((folder / SPEC).read_bytes())
        split = json.loads((folder / SPLIT).read_bytes())
        root = Path(split["data"])
        groups = split.get("groups", {})
        train, validation, test = (
            [
                Picture(root / path, spec.labels.index(label), digest, groups.get(path, ""))
                for label, pictures in split.get(name, {}).items()
                for path, digest in pictures.items()
            ]
            for name in ("train", "validation", "test")
        )
        metrics = json.loads((folder / METRICS).read_bytes())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder}: damaged run directory: {type(error).__name__}: {error}") from error
    return Run(folder, spec, metrics, train, validation, test)


def main() -> None:
    run = read_run(sys.argv[1])
    split = {picture.path.parent.parent for picture in run.validation}
    root = Path(json.loads((run.folder / SPLIT).read_bytes())["data"])
    print(split.pop() if len(split) == 1 else root)


if __name__ == "__main__":
    run_command(main)
