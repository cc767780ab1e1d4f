"""Pictures that belong together, found by their names and by their features."""

from pathlib import Path

import numpy as np

from train.dataset import Picture
from train.groups import group


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
