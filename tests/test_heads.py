"""Heads that are solved, against scikit-learn; folds that hold groups together; figures that no cheat survives."""

import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from edge.errors import UserError
from edge.model.head import ledoit_wolf, solve_lda
from train.dataset import Picture
from train.heads import folds, solve
from train.space import Candidate, solve_logistic


def clusters(
    counts: list[int], width: int, apart: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:  # features and labels
    """Gaussians of one covariance that is far from round, in features of very different sizes."""
    dice = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = np.random.default_rng(99).normal(0, apart, (len(counts), width))
    mixed = np.random.default_rng(98).normal(0, 0.5, (width, width)) + np.eye(width)
    rows = centres[labels] + dice.normal(0, 1, (len(labels), width)) @ mixed
    return (rows * np.geomspace(0.1, 10, width)).astype(np.float32), labels


def pictures(labels: np.ndarray, groups: list[str] | None = None) -> list[Picture]:
    names = groups or [""] * len(labels)
    return [Picture(Path(), int(label), f"{i:064x}", names[i]) for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("counts", "width"),
    [
        ([40, 25, 60], 8),  # more pictures than features
        ([10, 12, 7, 9], 60),  # fewer, in every label
        ([300, 20], 60),  # both
    ],
)
def test_lda_is_that_of_scikit_learn(counts: list[int], width: int) -> None:
    features, labels = clusters(counts, width)
    expected = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features.astype(float), labels)
    found = solve_lda(features, labels, len(counts))
    others = clusters(counts, width, seed=1)[0]
    assert np.allclose(softmax(found.logits(others), axis=1), _proba(expected, others), atol=1e-6)


def test_lda_of_a_given_share_is_that_of_scikit_learn() -> None:
    """There the target is a multiple of the identity: the same where all features have unit variance in the labels."""
    features, labels = clusters([30, 50, 20], 12)
    means = np.stack([features[labels == label].mean(axis=0) for label in range(3)])
    rows = features / (features - means[labels]).std(axis=0)
    expected = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(rows.astype(float), labels)
    assert np.allclose(softmax(solve_lda(rows, labels, 3, 0.3).logits(rows), axis=1), _proba(expected, rows), atol=1e-5)


def _proba(model: LinearDiscriminantAnalysis, rows: np.ndarray) -> np.ndarray:
    scores = model.predict_proba(rows.astype(float))
    return scores if scores.shape[1] > 2 else np.column_stack([1 - scores[:, 1], scores[:, 1]])


@pytest.mark.parametrize(("count", "width"), [(50, 10), (10, 50)])
def test_the_share_is_that_of_ledoit_and_wolf(count: int, width: int) -> None:
    rows = np.random.default_rng(0).normal(0, 1, (count, width)) @ np.diag(np.linspace(1, 3, width))
    rows -= rows.mean(axis=0)
    covariance, share = sklearn_ledoit_wolf(rows, assume_centered=True)
    found, level = ledoit_wolf(rows)
    assert found == pytest.approx(share)
    expected = (1 - share) * rows.T @ rows / count + share * level * np.eye(width)
    assert np.allclose(expected, covariance)


@pytest.mark.parametrize("strength", [0.1, 0.01])
@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_regression_is_that_of_scikit_learn(strength: float, classes: int) -> None:
    features, labels = clusters([40, 30, 50, 20][:classes], 12, apart=0.5)
    rows = features / features.std(axis=0)
    found = solve_logistic(rows, labels, classes, strength)
    # Of two labels scikit-learn penalizes the one difference, which costs twice what its two halves do.
    cost = len(rows) * strength * (0.5 if classes == 2 else 1)
    expected = LogisticRegression(C=1 / cost, tol=1e-8, max_iter=5000).fit(rows, labels)
    assert np.allclose(softmax(found.logits(rows), axis=1), expected.predict_proba(rows), atol=5e-3)


@pytest.mark.parametrize("kind", ["lda", "logistic"])
@pytest.mark.parametrize("width", [10, 300])
def test_the_head_of_the_turned_features_is_that_of_the_features(kind: str, width: int) -> None:
    """What was chosen, solved once more in the plain way; the temperature is what is between them."""
    counts = [40, 25, 60]
    features, labels = clusters(counts, width, apart=0.4)
    solution = solve(features, labels, 3, folds(pictures(labels)), kind)
    assert solution.candidate.kind == kind
    means = np.stack([features[labels == label].mean(axis=0) for label in range(3)])
    scale = (features - means[labels]).std(axis=0)
    strength = solution.candidate.strength
    if kind == "lda":
        plain = solve_lda(features, labels, 3, strength).logits(features)
    else:
        plain = solve_logistic((features - features.mean(axis=0)) / scale, labels, 3, strength).logits(
            (features - features.mean(axis=0)) / scale
        )
    found = solution.head.logits(features)
    spread = [values - values.mean(axis=1, keepdims=True) for values in (plain, found)]
    ratio = float((spread[0] * spread[1]).sum() / np.square(spread[1]).sum())  # the temperature
    assert np.allclose(spread[0], ratio * spread[1], atol=0.03 * np.abs(spread[0]).max())
    assert 0.05 < ratio < 200


def test_labels_that_mean_nothing_are_not_found_out_of_fold() -> None:
    """A head that was fitted on all pictures would answer all of them right."""
    dice = np.random.default_rng(0)
    features, labels = dice.normal(0, 1, (300, 400)).astype(np.float32), dice.integers(0, 3, 300)
    solution = solve(features, labels, 3, folds(pictures(labels)))
    assert (solution.head.logits(features).argmax(axis=1) == labels).mean() > 0.85
    assert 0.2 < (solution.held_out.argmax(axis=1) == labels).mean() < 0.47
    assert max(solution.accuracy.values()) < 0.47


def test_the_accuracy_out_of_fold_is_that_on_new_pictures() -> None:
    told, true = [], []
    new, truth = clusters([600] * 4, 40, apart=0.6, seed=77)
    for seed in range(6):
        features, labels = clusters([40, 60, 80, 50], 40, apart=0.6, seed=seed)
        solution = solve(features, labels, 4, folds(pictures(labels), seed))
        told.append((solution.held_out.argmax(axis=1) == labels).mean())
        answers = solution.head.logits(new).argmax(axis=1)
        shares = [(answers[truth == label] == label).mean() for label in range(4)]
        true.append(np.average(shares, weights=[40, 60, 80, 50]))
    assert np.mean(told) == pytest.approx(np.mean(true), abs=0.025)
    assert 0.6 < np.mean(true) < 0.97  # there is something to be wrong about


@pytest.mark.parametrize(
    "counts",
    [
        [1, 30, 20],  # one picture of a label: its fold has none to learn from
        [2, 2],  # as few as can be
        [3] * 40,  # many labels
    ],
)
def test_few_pictures_of_a_label_are_no_error(counts: list[int]) -> None:
    features, labels = clusters(counts, 20, apart=3)
    solution = solve(features, labels, len(counts), folds(pictures(labels)))
    assert np.isfinite(solution.held_out).all()
    assert (solution.head.logits(features).argmax(axis=1) == labels).mean() > 0.9


def test_balance_finds_the_rare_label_more_often() -> None:
    features, labels = clusters([400, 20], 10, apart=0.25)
    recall = {}
    for balance in (False, True):
        solution = solve(features, labels, 2, folds(pictures(labels)), balance=balance)
        recall[balance] = (solution.head.logits(features).argmax(axis=1) == labels)[labels == 1].mean()
    assert recall[True] > recall[False] + 0.1


def test_views_are_fitted_on_in_the_fold_of_their_picture() -> None:
    """Each view is its picture once more: were they in other folds, random labels would be found."""
    dice = np.random.default_rng(0)
    features, labels = dice.normal(0, 1, (200, 300)).astype(np.float32), dice.integers(0, 2, 200)
    views = [features + 0.01 * dice.normal(0, 1, features.shape).astype(np.float32) for _ in range(2)]
    solution = solve(features, labels, 2, folds(pictures(labels)), views=views)
    assert 0.3 < (solution.held_out.argmax(axis=1) == labels).mean() < 0.65


def test_features_that_are_no_numbers_are_told() -> None:
    features, labels = clusters([20, 20], 5)
    features[3, 2] = np.nan
    with pytest.raises(UserError, match=r"features: expected finite numbers, found others in 1 of 40 rows"):
        solve(features, labels, 2, folds(pictures(labels)))


def test_folds_hold_groups_together_and_have_as_many_of_each_label() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 33])
    groups = [f"{label}-{i // 4}" for i, label in enumerate(labels)]
    found = folds(pictures(labels, groups), count=5)
    for group in set(groups):
        assert len({int(found[i]) for i, name in enumerate(groups) if name == group}) == 1
    for label in range(3):
        counts = np.bincount(found[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 4  # a group


def test_folds_depend_on_the_pictures_and_the_seed_alone() -> None:
    labels = np.repeat([0, 1], [30, 20])
    some = pictures(labels)
    order = np.random.default_rng(0).permutation(50)
    assert np.array_equal(folds([some[i] for i in order], 3), folds(some, 3)[order])
    assert not np.array_equal(folds(some, 4), folds(some, 3))


def test_the_candidate_is_the_one_that_the_data_want() -> None:
    """Few pictures in a direction of no use: no covariance can be trusted, so a strong one is taken."""
    features, labels = clusters([6, 6, 6], 200, apart=0.8)
    assert solve(features, labels, 3, folds(pictures(labels)), "lda").candidate in (
        Candidate("lda", 0.9),
        Candidate("lda", 0.6),
        Candidate("lda", 0.3),
    )


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FROSTLITE_SLOW"), reason="slow: set FROSTLITE_SLOW=1")
def test_two_hundred_labels_of_a_hundred_pictures_take_seconds() -> None:
    dice = np.random.default_rng(0)
    labels = np.repeat(np.arange(200), 100)
    features = (dice.normal(0, 1, (200, 1664))[labels] + dice.normal(0, 3, (20_000, 1664))).astype(np.float32)
    started = time.perf_counter()
    solution = solve(features, labels, 200, folds(pictures(labels)))
    assert time.perf_counter() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2e6  # kilobytes
    assert "logistic" in solution.left_out
