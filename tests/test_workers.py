"""Two workers on this machine train the model that one trains alone."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run_module

from edge.errors import UserError
from train.keras import keras
from train.workers import workers

# Gradients are summed in another order; nothing else differs without dropout. (Adam divides by their size and a ReLU
# at zero takes sides, so that both make something of rounding: with them 1e-4 was not enough.)
TOLERANCE = 1e-5


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.slow
def test_two_workers_train_the_model_of_one(colours: Path, tmp_path: Path) -> None:
    arguments = ["--data", colours, "--size", 64, "--dropout", 0, "--epochs", 6, "--patience", 0, "--batch", 20]
    arguments += ["--optimizer", "sgd", "--learning-rate", 0.1]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    jobs = []
    for index in range(2):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        environment = {"TF_CONFIG": json.dumps(task), "FROSTLITE_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "train", *map(str, arguments), "--out", str(tmp_path / "two")]
        jobs.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        told = [job.communicate(timeout=240) for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    assert [job.returncode for job in jobs] == [0, 0], told
    assert told[1][0] == ""  # the first one tells
    alone = run_module("train", *arguments, "--out", tmp_path / "one")
    assert alone.returncode == 0, alone.stderr

    one, two = (keras.models.load_model(tmp_path / name / "model.keras", compile=False) for name in ("one", "two"))
    untrained = {weight.name for weight in one.non_trainable_weights}
    for expected, found in zip(one.weights, two.weights, strict=True):
        same = np.array_equal if expected.name in untrained else lambda a, b: np.allclose(a, b, atol=TOLERANCE)
        assert same(expected.numpy(), found.numpy()), expected.name
    one_epochs, two_epochs = (
        [{name: float(value) for name, value in row.items() if name != "seconds"} for row in csv.DictReader(text)]
        for text in ((tmp_path / name / "history.csv").read_text().splitlines() for name in ("one", "two"))
    )
    assert one_epochs[-1]["loss"] < one_epochs[0]["loss"] / 2  # there was something to differ in
    for expected, found in zip(one_epochs, two_epochs, strict=True):
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "{",  # no JSON
        "{}",  # nothing in it
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',  # no such worker
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',  # a parameter server
    ],
)
def test_a_wrong_tf_config_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    workers.cache_clear()
    try:
        with pytest.raises(UserError, match="TF_CONFIG: expected"):
            workers()
    finally:
        workers.cache_clear()


def test_each_picture_is_of_one_worker_s_share(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    digests = [f"{number:08x}" for number in np.random.default_rng(0).integers(0, 1 << 32, 1000)]
    for index in range(3):
        task = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}}
        task["task"] = {"type": "worker", "index": index - 1} if index else {"type": "chief", "index": 0}  # type: ignore[dict-item]
        monkeypatch.setenv("TF_CONFIG", json.dumps(task))
        workers.cache_clear()
        assert (workers().index, workers().count, workers().first) == (index, 3, index == 0)
        shares.append([digest for digest in digests if workers().mine(digest)])
    workers.cache_clear()
    assert sorted(digest for share in shares for digest in share) == sorted(digests)
    assert min(map(len, shares)) > 250
