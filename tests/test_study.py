"""The dropout study: what it calls a difference is one, and the command writes what it says."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
from conftest import run_here
from scipy.stats import ttest_1samp

from train.study import difference, sentence


def draws(shift: float, seed: int, seeds: int = 5, pictures: int = 200) -> np.ndarray:
    """Differences of losses: each seed leans to one side, and each picture does."""
    dice = np.random.default_rng(seed)
    lean = dice.normal(0, 0.05, (seeds, 1)) + dice.normal(0, 0.5, (1, pictures))
    return shift + lean + dice.normal(0, 0.5, (seeds, pictures))


def test_where_there_is_no_difference_few_are_found() -> None:
    found = [abs(mean) > error for mean, error in (difference(draws(0, seed)) for seed in range(1000))]
    assert np.mean(found) < 0.07


def test_a_difference_is_found_where_there_is_one() -> None:
    found = [mean > error for mean, error in (difference(draws(0.2, seed)) for seed in range(200))]
    assert np.mean(found) > 0.8


def test_of_seeds_alone_it_is_the_t_test() -> None:
    values = np.repeat(np.random.default_rng(0).normal(1, 1, (5, 1)), 3, axis=1)
    interval = ttest_1samp(values[:, 0], 0).confidence_interval(0.95)
    mean, error = difference(values)
    assert np.allclose((mean - error, mean + error), interval)


def test_the_sentence_says_which_is_better() -> None:
    right = {0.0: np.zeros((5, 100)), 0.5: np.tile([1.0] * 9 + [0.0], (5, 10))}
    loss = {0.0: np.ones((5, 100)), 0.5: np.ones((5, 100))}
    found = sentence(right, loss)
    assert "over 5 seeds and 100 pictures" in found
    assert "validation accuracy is better by 90 points" in found
    assert "validation loss is no different" in found


def test_the_command_writes_what_it_says(colours: Path, tmp_path: Path) -> None:
    arguments = ["--backbone", "mobilenet-v2", "--width", "0.35", "--weights", "none", "--size", 32]
    done = run_here(
        "train", "--study", "dropout", "--data", colours, "--out", tmp_path, *arguments, "--epochs", 2, "--dense", 8
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "dropout.json").read_text())
    assert told["finding"] in done.stdout
    assert "over 5 seeds and 24 pictures" in told["finding"]
    with (tmp_path / "dropout.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 5 * 2
    ends = [float(row["val_accuracy"]) for row in rows if row["epoch"] == "2" and float(row["dropout"]) > 0]
    assert ends == told["last_epoch"]["0.2"]["val_accuracy"]
    assert cv2.imread(str(tmp_path / "dropout.png")).std() > 5
