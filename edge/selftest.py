"""Whether this machine gives the scores and the features that another one measured.

A bundle carries `model.tflite` and `selftest/`: a few lossless pictures and `expected.json`, which holds, for each
runtime, the scores that the machine that made the bundle got, its features if the model has any, and the labels, in
the order of the scores.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import UserError
from edge.model.classifier import Classifier
from edge.model.likeness import pack, unit
from edge.model.preprocess import prepare
from edge.pictures import read_picture

MODEL, FOLDER, EXPECTED = "model.tflite", "selftest", "expected.json"
# The kernels of an int8 model may round halves to the other side: on blended pictures, where the scores lie close
# together, other kernels were seen to move a score by 0.08. Wrong labels or weights move them by far more, and of the
# preprocessing the tensors tell.
TOLERANCE = 0.1
# Cosine of the features: those kernels moved it by 0.001, another picture of the same label by 0.11 or more.
ALIKE = 0.95


@dataclass(frozen=True)
class Comparison:
    """This machine against the expected scores.

    Attributes:
        runtime: what ran the model here.
        pictures: how many were compared.
        passed: how many gave the expected scores and features.
        tensors: how many gave the very same input tensor.
        identical: how many gave the very same scores, bit for bit.
        largest: the largest absolute difference of any score.
        likeness: the smallest cosine of the features here to those expected; None where there are none.
        failures: a sentence for each picture whose scores or features are not the expected ones, and one if the
            labels are not.
    """

    runtime: str
    pictures: int
    passed: int
    tensors: int
    identical: int
    largest: float
    likeness: float | None
    failures: tuple[str, ...]


def measure(model: Path, pictures: Sequence[Path], runtime: str | None = None) -> dict[str, Any]:
    """What this machine makes of the pictures.

    Returns:
        "runtime", its name; "labels", in the order of the scores; "scores", a list of floats a picture; "tensors", the
        SHA-256 of each input tensor; "features", int8 numbers a picture, of which the direction alone counts; none if
        the model has none.
    """
    scores, tensors, features = [], [], []
    with Classifier(model, runtime=runtime) as classifier:
        for path in pictures:
            frame = read_picture(path)
            tensor = prepare(frame, classifier.spec, classifier.interpreter.input)
            tensors.append(hashlib.sha256(tensor.tobytes()).hexdigest())
            result = classifier.classify(frame)
            scores.append([float(score) for score in result.scores])
            if result.features is not None:
                features.append(pack(result.features[None])[0].tolist())
        runtime = classifier.interpreter.runtime
        return {
            "runtime": runtime,
            "labels": list(classifier.spec.labels),
            "scores": scores,
            "tensors": tensors,
            "features": features,
        }


def selftest(bundle: Path, runtime: str | None = None) -> Comparison:
    """Run the pictures of an unpacked bundle through its model and compare with the scores it carries.

    Scores of the same runtime are expected where the bundle has them, else those of the first it has.

    Raises:
        UserError: if the folder is no bundle, or a part of it is missing or damaged.
    """
    file = bundle / FOLDER / EXPECTED
    try:
        expected = json.loads(file.read_bytes())
        pictures = [bundle / FOLDER / name for name in expected["pictures"]]
        measurements = {name: np.asarray(values, np.float32) for name, values in expected["scores"].items()}
        tensors = list(expected["tensors"])
        labels = [str(label) for label in expected.get("labels", [])]
        features = {name: np.asarray(values, np.float32) for name, values in expected.get("features", {}).items()}
    except OSError as error:
        raise UserError(f"{file}: expected the self-test of a bundle, found {str(error.strerror).lower()}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: damaged: {type(error).__name__}: {error}") from error
    here = measure(bundle / MODEL, pictures, runtime)
    found = np.asarray(here["scores"], np.float32)
    wanted = measurements.get(here["runtime"], next(iter(measurements.values()), None))
    if wanted is None or wanted.shape != found.shape or len(tensors) != len(pictures):
        raise UserError(f"{file}: expected scores of shape {found.shape}, found {getattr(wanted, 'shape', None)}")
    difference = np.abs(found - wanted).max(axis=1)
    passed = difference <= TOLERANCE
    failures = [
        f"{picture.name}: expected {_numbers(want)}, found {_numbers(got)}"
        for picture, want, got, near in zip(pictures, wanted, found, passed, strict=True)
        if not near
    ]
    if labels not in ([], here["labels"]):  # bundles of before 0.2 carry none
        failures.insert(0, f"{MODEL}: expected the labels {', '.join(labels)}, found {', '.join(here['labels'])}")
    directions = features.get(here["runtime"], next(iter(features.values()), np.empty(0)))
    likeness = None
    if directions.size:
        if directions.shape != np.shape(here["features"]):
            raise UserError(
                f"{file}: expected features of shape {np.shape(here['features'])}, found {directions.shape}"
            )
        cosines = (unit(directions) * unit(here["features"])).sum(axis=1)
        likeness = float(cosines.min())
        passed &= cosines >= ALIKE
        failures += [
            f"{picture.name}: expected the same features, found a cosine of {cosine:.3f}"
            for picture, cosine in zip(pictures, cosines, strict=True)
            if not cosine >= ALIKE
        ]
    return Comparison(
        runtime=here["runtime"],
        pictures=len(pictures),
        passed=int(passed.sum()),
        tensors=sum(a == b for a, b in zip(tensors, here["tensors"], strict=True)),
        identical=int((difference == 0).sum()),
        largest=float(difference.max()),
        likeness=likeness,
        failures=tuple(failures),
    )


def _numbers(scores: np.ndarray) -> str:
    return "/".join(f"{score:.3f}" for score in scores[:8])
