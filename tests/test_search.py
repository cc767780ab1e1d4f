"""The search: what is tried in which order, what fits into the minutes, what is kept."""

import csv
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import run_here

import train.search
from edge.share import wilson
from train.finetune import _schedule
from train.options import Options
from train.search import Tried, choose


def tried(right: str, size: float, augment: int = 0) -> Tried:
    """A candidate: 1 for each picture that it has right."""
    options = replace(OPTIONS, size=int(size), augment=augment)
    return Tried(options, int(size), {Path(str(i)): each == "1" for i, each in enumerate(right)}, (1.0, 1.0))


OPTIONS = Options(**{**dict.fromkeys(Options.__dataclass_fields__), "backbone": "b"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prefer", "candidates", "kept"),
    [
        ("accuracy", [("1110", 1), ("1111", 2)], 2),
        ("accuracy", [("1111", 2), ("1111", 1)], 1),  # of equals the smaller
        ("size", [("1110", 1), ("1111", 2)], 1),  # one picture lost: 1 <= sqrt(1)
        ("size", [("1100", 1), ("1111", 2)], 2),  # two lost: 2 > sqrt(2)
        ("size", [("0011110", 1), ("1100111", 2)], 1),  # lost 3, won 2: 1 <= sqrt(5)
        ("size", [("00110", 1), ("01111", 2), ("11111", 3)], 2),  # 1 lost by the second, 3 > sqrt(3) by the first
    ],
)
def test_what_is_kept(prefer: str, candidates: list[tuple[str, int]], kept: int) -> None:
    assert choose([tried(*each) for each in candidates], prefer).multiply_adds == kept


def test_the_rate_rises_and_falls_to_nothing() -> None:
    """A tenth of the steps up in a straight line; half-way down the cosine at 0.55."""
    assert [_schedule(share) for share in (0.0, 0.05, 0.1, 0.55, 1.0)] == pytest.approx([0, 0.5, 1, 0.5, 0])


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--minutes", 1, "--dense", 8), "--minutes: chooses the recipe by itself; expected no --dense"),
        (("--minutes", 1, "--unfreeze", 3), "expected no --unfreeze"),
        (("--minutes", 1, "--fit", "adam"), "expected no --fit adam"),
        (("--minutes", 1, "--weights", "none"), "--minutes: expected --backbone with --weights"),
        (("--prefer", "size"), "--prefer size: expected --minutes with it"),
        (("--minutes", "soon"), "--minutes"),
    ],
)
def test_what_a_search_excludes(flags: tuple[object, ...], expected: str, tmp_path: Path) -> None:
    found = run_here("train", "--data", tmp_path, "--out", tmp_path / "run", *flags)
    assert found.returncode == 2
    assert expected in found.stderr
    assert not (tmp_path / "run").exists()


def small(colours: Path, out: Path, minutes: float) -> tuple[str, dict[str, Any]]:
    """A search among random weights at 64 pixels."""
    flags = ("--backbone", "mobilenet-v2", "--width", 0.35, "--weights", "none", "--minutes", minutes, "--size", 64)
    found = run_here("train", "--data", colours, "--out", out, *flags)
    assert found.returncode == 0, found.stderr
    return found.stdout, json.loads((out / "metrics.json").read_text())


def test_a_search_keeps_the_best_and_says_what_it_tried(colours: Path, tmp_path: Path) -> None:
    out, metrics = small(colours, tmp_path / "run", 5)
    rows = list(csv.DictReader((tmp_path / "run" / train.search.TABLE).read_text().splitlines()))
    assert [row["model"] for row in rows] == [row["model"] for row in metrics["search"]]
    assert rows[0]["model"] == "mobilenet-v2 at 64 px"
    assert [row["kept"] for row in rows].count("True") == 1
    best = max(float(row["accuracy"]) for row in rows)
    kept = next(row for row in metrics["search"] if row["kept"])
    assert kept["accuracy"] == best
    pictures = metrics["images"]["train"]  # those of a validation folder are asked at the end
    assert kept["interval"] == pytest.approx(list(wilson(round(best * pictures), pictures)))
    assert "What was tried" in (tmp_path / "run" / "report.html").read_text()
    assert f"{best:.2%} out of fold" in out


def test_what_would_take_too_long_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, colours: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(train.search, "_try", hard(train.search._try))
    started = time.perf_counter()
    out, metrics = small(colours, tmp_path / "run", 0.05)
    assert len(metrics["search"]) == 1
    assert "left out: mobilenet-v2 at 64 px, mirrored too: it may take" in out
    assert "stays frozen" in out
    assert time.perf_counter() - started < 60


def hard(real: Callable[..., Tried]) -> Callable[..., Tried]:
    """Candidates that never are right on all pictures: then the search would end with them."""

    def one(*arguments: Any) -> Tried:
        found = real(*arguments)
        return replace(found, right={**found.right, next(iter(found.right)): False})

    return one


def test_ctrl_c_keeps_the_best_so_far(monkeypatch: pytest.MonkeyPatch, colours: Path, tmp_path: Path) -> None:
    real, calls = hard(train.search._try), list[int]()

    def second_is_stopped(*arguments: Any) -> Tried:
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(train.search, "_try", second_is_stopped)
    out, metrics = small(colours, tmp_path / "run", 5)
    assert len(metrics["search"]) == 1
    assert "stopped by Ctrl-C: the best so far is kept" in out
    assert (tmp_path / "run" / "model.keras").exists()
