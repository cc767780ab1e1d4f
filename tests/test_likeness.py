"""Frames that are nothing like the training pictures, against cosines and medoids by hand and by scikit-learn."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import run_module
from device import flat
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from edge import Classifier, UserError
from edge.model.contract import BANK_FILE, append_files, read_model
from edge.model.flatbuffer import Table
from edge.model.likeness import Bank, choose, from_bytes, pack, to_bytes
from edge.smoothing import Stable


def with_bank(tiny_model: Path, out: Path, features: np.ndarray, likeness: float) -> Path:
    """The tiny model, whose features are the mean red, green and blue (0 to 1), with a bank of such features."""
    file = read_model(tiny_model)
    assert file.spec is not None
    names = [tensor.string(3) for tensor in Table.root(file.graph).tables(2)[0].tables(0)]
    (mean,) = (name for name in names if name.endswith("/Mean"))
    digest = hashlib.sha256(file.graph).hexdigest()
    spec = replace(file.spec, features=(mean,), likeness=likeness, graph_sha256=digest)
    out.write_bytes(append_files(file.graph, spec, {BANK_FILE: to_bytes(pack(features))}))
    return out


@pytest.fixture
def reds_and_blues(tiny_model: Path, tmp_path: Path) -> Path:
    return with_bank(tiny_model, tmp_path / "known.tflite", np.array([[1.0, 0.1, 0.0], [0.0, 0.1, 1.0]]), 0.95)


@pytest.mark.parametrize(
    ("red", "blue", "label", "why"),
    [
        (250, 5, "red", ""),  # as in the bank
        (5, 250, "blue", ""),
        (120, 3, "red", ""),  # darker: the direction counts
        (250, 220, "unknown", "unlike"),  # purple: between the two directions, cosine 0.75
    ],
)
def test_a_frame_far_from_the_bank_gets_no_answer(
    reds_and_blues: Path, red: int, blue: int, label: str, why: str
) -> None:
    with Classifier(reds_and_blues) as classifier:
        result = classifier.classify(flat(red, blue))
    assert (result.label, result.why) == (label, why)
    assert result.features is not None
    assert np.allclose(result.features, np.array([red, 30, blue]) / 255, atol=1e-4)
    by_hand = cosine_similarity([[red, 30, blue]], [[127, 13, 0], [0, 13, 127]]).max()
    assert result.likeness == pytest.approx(by_hand, abs=1e-4)


def test_a_score_between_two_labels_has_another_reason(reds_and_blues: Path) -> None:
    with Classifier(reds_and_blues, threshold=0.9999) as classifier:
        assert classifier.classify(flat(250, 5)).why == "between"


def test_threshold_0_always_answers(reds_and_blues: Path) -> None:
    with Classifier(reds_and_blues, threshold=0) as classifier:
        result = classifier.classify(flat(250, 220))
    assert (result.label, result.why) == ("red", "")


def test_a_file_without_features_works_as_before(tiny_model: Path, tmp_path: Path) -> None:
    file = read_model(tiny_model)
    assert file.spec
    older = tmp_path / "older.tflite"
    older.write_bytes(append_files(file.graph, replace(file.spec, features=(), feature_map="")))
    with Classifier(older) as classifier:
        result = classifier.classify(flat(250, 5))
    assert (result.label, result.likeness, result.features) == ("red", None, None)


@pytest.mark.parametrize("runtime", ["ai-edge-litert", "tflite-runtime"])
def test_the_command_tells_why(reds_and_blues: Path, tmp_path: Path, runtime: str) -> None:
    pytest.importorskip(runtime.replace("ai-edge-", "ai_edge_").replace("-", "_"))
    cv2.imwrite(str(tmp_path / "purple.png"), flat(250, 220))
    words = "edge", "classify", reds_and_blues, tmp_path / "purple.png", "--runtime", runtime
    found = json.loads(run_module(*words, "--json").stdout)
    assert (found["label"], found["why"]) == ("unknown", "unlike")
    assert found["likeness"] == pytest.approx(0.757, abs=0.01)
    assert "unknown (unlike)" in run_module(*words).stdout


@pytest.mark.parametrize("bank", [b"", b"no bank", to_bytes(np.zeros((2, 3), np.int8)), to_bytes(np.ones((2, 3)))])
def test_a_damaged_bank_is_one_line(reds_and_blues: Path, tmp_path: Path, bank: bytes) -> None:
    file = read_model(reds_and_blues)
    assert file.spec is not None
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(append_files(file.graph, file.spec, {BANK_FILE: bank}))
    with pytest.raises(UserError, match=r"damaged\.tflite: "):
        Classifier(damaged)


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 99))
def test_packing_keeps_directions(vectors: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, asked = random.random((vectors, width)) + 0.01, random.random((5, width))
    found = from_bytes(to_bytes(pack(rows))).likeness(asked)
    assert np.allclose(found, cosine_similarity(asked, rows).max(axis=1), atol=0.01)


def test_the_bank_covers_every_label() -> None:
    """Two far groups a label: both are in it before anything is in it twice."""
    random = np.random.default_rng(0)
    corners = np.eye(6)[:, :]
    labels = np.repeat(np.arange(3), 20)
    rows = np.repeat(corners, 10, axis=0) + 0.01 * random.random((60, 6))
    chosen = choose(rows, labels, 6)
    assert sorted(labels[chosen].tolist()) == [0, 0, 1, 1, 2, 2]
    assert {int(rows[place].argmax()) for place in chosen} == {0, 1, 2, 3, 4, 5}


def test_the_first_of_the_bank_is_the_medoid() -> None:
    rows = np.random.default_rng(1).random((50, 4))
    assert choose(rows, np.zeros(50, int), 1) == [cosine_similarity(rows).sum(axis=0).argmax()]


@given(pictures=st.integers(2, 60), seed=st.integers(0, 50))
def test_each_of_the_bank_brings_most(pictures: int, seed: int) -> None:
    """By brute force: nobody else would have brought the pictures nearer to the bank, one after the other."""
    rows = np.random.default_rng(seed).standard_normal((pictures, 5))
    near = cosine_similarity(rows)
    best = np.full(pictures, -1.0)
    for place in choose(rows, np.zeros(pictures, int), 12):
        gains = np.maximum(near - best, 0).sum(axis=1)
        assert gains[place] >= gains.max() - 1e-4
        best = np.maximum(best, near[place])


def test_copies_do_not_fill_the_bank() -> None:
    assert len(choose(np.ones((30, 4)), np.zeros(30, int), 10)) == 1


def test_single_strange_frames_do_not_move_a_label() -> None:
    stable = Stable(("a", "b"), 0.5, 0.1)
    scores = np.array([0.9, 0.1], np.float32)
    labels = []
    for unlike in (False, True, False, False, True, True, True, False, False):
        stable.update(scores, unlike)
        labels.append(stable.label)
    assert labels == ["a", "a", "a", "a", "a", "unknown", "unknown", "unknown", "a"]


def test_a_bank_of_floats_is_refused() -> None:
    with pytest.raises(ValueError, match="int8"):
        Bank(np.ones((2, 2)))
