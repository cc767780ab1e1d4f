"""Pictures that belong together, found by their names and by their features."""

from pathlib import Path

import numpy as np
import pytest

from train.dataset import Dataset
from train.groups import group
from train.picture import Picture


def pictures(labels: list[int], groups: list[str] | None = None, digests: list[str] | None = None) -> list[Picture]:
    count = range(len(labels))
    return [
        Picture(Path(str(i)), labels[i], digests[i] if digests else f"d{i}", groups[i] if groups else "") for i in count
    ]


def same(groups: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(groups == number).tolist()) for number in np.unique(groups)}


def directions(count: int, seed: int = 0) -> np.ndarray:
    """Rows that are at right angles to each other, nearly."""
    return np.random.default_rng(seed).normal(size=(count, 512)).astype(np.float32)


def test_near_duplicates_of_one_label_are_joined_in_chains() -> None:
    rows = directions(40)
    step = rows[1] * 0.3
    rows[10], rows[11], rows[12] = rows[0] + step, rows[0] + 2 * step, rows[0] + 3 * step  # each near its neighbour
    rows[20] = rows[2] * 1.001
    labels = [0] * 40
    assert same(group(pictures(labels), rows)) >= {frozenset({0, 10, 11, 12}), frozenset({2, 20})}
    labels[20] = 1  # alike, but of another label: a contradiction, which is told elsewhere
    assert frozenset({2, 20}) not in same(group(pictures(labels), rows))


def test_names_and_copies_are_joined_whatever_the_features_say() -> None:
    rows = directions(8)
    found = group(pictures([0] * 8, ["a", "a", "", "b", "b", "", "", ""], list("pqrstrup")), rows)
    assert same(found) == {frozenset({0, 1, 7}), frozenset({3, 4}), frozenset({2, 5}), frozenset({6})}


def test_blocks_find_what_one_matrix_finds() -> None:
    rows = directions(2500)
    rows[1500:1600] = rows[:100] + 0.01 * directions(100, 1)
    found = same(group(pictures([0] * 2500), rows))
    assert found == {frozenset({i, 1500 + i}) for i in range(100)} | {
        frozenset({i}) for i in [*range(100, 1500), *range(1600, 2500)]
    }


def test_wide_features_give_the_same_groups_and_rows_behind_are_not_looked_at() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 3000)).astype(np.float32)
    rows[200:250] = rows[:50] + 0.1 * np.random.default_rng(1).normal(size=(50, 3000)).astype(np.float32)
    expected = {frozenset({i, 200 + i}) for i in range(50)}
    groups = group(pictures([0] * 260), rows)
    assert {each for each in same(groups) if len(each) > 1} == expected
    assert len(groups) == 260


@pytest.mark.parametrize("own_split", [True, False])
def test_pictures_that_look_alike_are_held_out_together(own_split: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten bursts of ten pictures a class, whose names tell nothing."""
    all_pictures = pictures([0] * 100 + [1] * 100)
    centres = directions(20)
    rows = np.repeat(centres, 10, axis=0) + 0.1 * directions(200, 1)
    train, validation = all_pictures[::2], all_pictures[1::2]
    data = Dataset(Path(), ("a", "b"), train, validation, own_split=own_split)
    data.group_alike(rows[[int(p.digest[1:]) for p in data.fold_pictures()]], seed=0)
    bursts = [{int(p.digest[1:]) // 10 for p in split} for split in (data.train, data.validation)]
    if own_split:
        assert not bursts[0] & bursts[1]
        assert bursts[0] | bursts[1] == set(range(20))
    else:
        assert data.validation == validation
    of_burst = {int(p.digest[1:]) // 10: p.group for p in data.train}
    assert len(set(of_burst.values())) == len(of_burst)
    assert f"grouped by likeness: {len(data.fold_pictures())} pictures" in capsys.readouterr().out


def test_pictures_that_differ_keep_their_place(capsys: pytest.CaptureFixture[str]) -> None:
    all_pictures = pictures([0] * 50 + [1] * 50)
    data = Dataset(Path(), ("a", "b"), all_pictures, [], own_split=True)
    data.group_alike(directions(100), seed=0)
    assert not any(p.group for p in data.train + data.validation)
    assert capsys.readouterr().out == ""
