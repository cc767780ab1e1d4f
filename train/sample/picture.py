"""One picture of the sample: a figure in a place, the light there, a camera. Until it is finished it is float32."""

from collections.abc import Callable

import cv2
import numpy as np

from edge.errors import UserError
from train.sample.camera import daylight, shoot
from train.sample.chance import Rng, pick
from train.sample.clay import Figure
from train.sample.horse import horse
from train.sample.human import human
from train.sample.render import render, shadow
from train.sample.scenery import beach, forest, meadow, plain, road, room
from train.sample.space import Array

VERSION = 1  # of the drawings: raise it whenever a change gives other pictures
LABELS, SPLITS = ("horses", "humans"), ("train", "validation")
FIGURES: dict[str, Callable[[Rng], Figure]] = {"horses": horse, "humans": human}
SCENES: dict[str, list[Callable[[Rng, int, float], Array]]] = {
    "train": [meadow, meadow, beach, road, forest, room],
    "validation": [plain],
}


def draw(label: str, split: str, index: int, seed: int = 0, size: int = 300) -> Array:
    """One picture, (size, size, 3) uint8 BGR; it depends on the arguments alone, not on what was drawn before.

    Raises `UserError` for a label not in `LABELS` or a split not in `SPLITS`.
    """
    if label not in LABELS or split not in SPLITS:
        raise UserError(f"no sample pictures of {label!r} for {split!r}: expected one of {LABELS} for one of {SPLITS}")
    rng = np.random.default_rng([seed, SPLITS.index(split), LABELS.index(label), index])
    figure = FIGURES[label](rng)
    camera = shoot(rng, figure, size)
    figure.rows[:, 1] += figure.lift
    light, outside = daylight(rng, camera), split == "train"
    picture = pick(rng, SCENES[split])(rng, size, float(np.clip(camera.horizon(), 0.12 * size, 0.7 * size)))
    if outside:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.8))
    dark = (0.62 if outside else 0.3) * rng.uniform(0.5, 1)
    picture *= 1 - dark * shadow(figure, camera, light, size, rng.uniform(1.5, 6) if outside else rng.uniform(3, 10))
    render(rng, picture, figure, camera, light)
    if outside:  # the day's exposure and white balance
        picture *= (rng.uniform(0.8, 1.12) * (1 + rng.normal(0, 0.03, 3))).astype(np.float32)
    picture += rng.uniform(0.5, 3) * rng.standard_normal(picture.shape, np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)
