"""Which pictures prove a variant: all of them out of fold where only a solved head learned, else those held out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.features import graph_engine
from convert.given import in_keras
from convert.graph import Graph
from convert.proof import OUT_OF_FOLD, finished_head, only_held_out, proof_of
from convert.quantize import quantize
from edge.model.contract import ModelSpec, read_model
from train.features import extract, keras_engine
from train.heads import folds, heads_of_folds
from train.keras import keras
from train.model import parts, read_head, split_at_features
from train.rundir import Run, read_run
from train.space import Candidate

SOLVED = {"head": {"kind": "lda", "strength": 0.3}, "unfrozen": []}


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        (SOLVED, ""),
        ({"head": {"kind": "logistic", "strength": 0.1}, "unfrozen": []}, ""),
        ({**SOLVED, "unfrozen": ["block7a"]}, "backbone was trained too"),
        ({"head": {"kind": "adam"}, "unfrozen": []}, "fitted in epochs"),
        ({"epochs": 15}, "fitted in epochs"),  # of an older version
        ({}, "trained elsewhere"),
    ],
)
def test_what_learned_decides_which_pictures_count(metrics: dict, told: str) -> None:
    found = only_held_out(Run(Path(), ModelSpec(("a", "b"), (8, 8)), metrics, [], []))
    assert (told in found) if told else found == ""


@pytest.mark.parametrize("candidate", [Candidate("lda", 0.3), Candidate("logistic", 0.1)])
def test_the_head_of_a_fold_is_blind_to_it(candidate: Candidate) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 90)
    features = (random.normal(size=(90, 12)) + 2 * np.eye(3, 12)[labels]).astype(np.float32)
    fold = np.arange(90) % 5
    heads = heads_of_folds(features, labels, 3, fold, candidate)
    others = labels.copy()
    others[fold == 2] = (others[fold == 2] + 1) % 3  # its pictures get other labels
    changed = heads_of_folds(features, others, 3, fold, candidate)

    def same(number: int) -> float:
        before, after = (each[number].logits(features).argmax(axis=1) for each in (heads, changed))
        return (before == after).mean()

    assert same(2) >= 0.97  # the scale of the features is that of all pictures, by their labels; no more than that
    assert same(1) < 0.9
    right = np.concatenate([heads[n].logits(features[fold == n]).argmax(axis=1) == labels[fold == n] for n in range(5)])
    assert right.mean() > 0.8


def test_features_come_out_of_a_finished_file(colour_run: Path) -> None:
    """A file of several depths gives the features of the Keras model, in its order, and its head."""
    run = read_run(colour_run)
    model = keras.models.load_model(colour_run / "model.keras", compile=False)
    graph = read_model(colour_run / "export" / "float32.tflite").graph
    expected = extract(keras_engine(split_at_features(model)[0], run.spec, parts(model)), run.validation)[:]
    ((_, found),) = graph_engine(graph, run.spec).compute(run.validation)
    assert found.shape == expected.shape
    assert np.allclose(found, expected, atol=1e-3)
    ours, theirs = read_head(model), finished_head(Graph(graph))
    assert np.allclose(ours.logits(expected), theirs.logits(found), atol=1e-2)


def test_all_pictures_prove_a_solved_head_and_held_out_ones_another(colour_run: Path) -> None:
    run = read_run(colour_run)
    model = keras.models.load_model(colour_run / "model.keras", compile=False)
    proof = proof_of(in_keras(model), run)
    assert proof.every
    assert (len(proof.every.pictures), len(proof.held_out.pictures), proof.sample.how) == (84, 24, OUT_OF_FOLD)
    assert proof.folds
    assert np.array_equal(proof.folds.fold, folds([*run.train, *run.validation]))
    assert (proof.sample.reference.argmax(axis=1) == proof.sample.truth).mean() > 0.95
    tuned = proof_of(in_keras(model), replace(run, metrics={**run.metrics, "unfrozen": ["some"]}))
    assert (tuned.every, tuned.sample.how, "held out" in tuned.why) == (None, "validation", True)
    assert np.allclose(tuned.held_out.reference, proof.held_out.reference, atol=0.02)  # the same model, by Keras


def test_known_features_are_taken_for_a_graph_that_gives_the_same(colour_run: Path) -> None:
    """A float graph needs no second computation; half precision, which is nearly the same, gets its own."""
    run = read_run(colour_run)
    model = keras.models.load_model(colour_run / "model.keras", compile=False)
    proof = proof_of(in_keras(model), run)
    graph = Graph(read_model(colour_run / "export" / "float32.tflite").graph)
    *_, taken = proof.out_of_fold(graph.pack(), None)
    assert taken is proof.features
    graph.name_apart()
    half = quantize(graph.pack(), "float16", run.spec)
    *_, own = proof.out_of_fold(half, None)
    assert own is not proof.features
    assert np.allclose(own[:], taken[:], atol=0.02 * np.abs(taken[:]).max())
    assert not np.array_equal(own[:], taken[:])
