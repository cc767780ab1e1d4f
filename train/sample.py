"""A data set drawn from nothing: horses and humans, modelled from ellipsoids and lit with numpy and OpenCV.

    python -m train.sample DIR [--train N] [--validation N] [--seed N]

It needs no download, so the whole way from photos to a device can be walked anywhere. As in the Horses-or-Humans
set, figures stand in scenery in training pictures and before a plain light wall in validation pictures: a model
must learn the figure, for nothing of the background is left to lean on.

A figure is some hundred ellipsoids strung along bones (`Clay`), in metres: x ahead, y up, z to its left, ground at
y = 0. `render` looks at them through a `Camera`, melts them into one surface and lights it. Colours are BGR, float32
0..255 until a picture is finished.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from tqdm import tqdm

from edge.errors import UserError
from edge.files import whole

Array = np.ndarray
Rng = np.random.Generator
T = TypeVar("T")

VERSION = 1  # of the drawings: raise it whenever a change here gives other pictures
LABELS, SPLITS = ("horses", "humans"), ("train", "validation")
STAMP = "sample.json"
QUALITY = 92
SMALL = 32  # pixels: balls up to here are rendered many at a time
FINE, COARSE = 3, 2  # pixels of the figure and of the picture in the same length
TEXELS, TILE = 256, 512  # of a pattern: a metre, and where it repeats (a power of two)


def vec(*xyz: float) -> Array:
    return np.array(xyz, np.float64)


def unit(v: Array) -> Array:
    return v / np.linalg.norm(v)


def turn(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Array:
    """(3, 3): raise the nose by `pitch`, lean right by `roll`, then turn left by -`yaw`."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cp, -sp, 0], [sp, cp, 0], [0, 0, 1]])
    return about_y @ about_z @ about_x


def pick(rng: Rng, table: Sequence[T], odds: Sequence[float] | None = None) -> T:
    return table[int(rng.choice(len(table), p=None if odds is None else np.array(odds) / np.sum(odds)))]


def tint(rng: Rng, colour: Sequence[float] | Array, spread: float = 12) -> Array:
    """The colour, somewhat lighter or darker and slightly off."""
    return np.clip(np.array(colour) + rng.normal(0, spread) + rng.normal(0, spread / 4, 3), 6, 250).astype(np.float32)


def noise(rng: Rng, height: int, width: int, cells: float, octaves: int = 3, squash: float = 1.0) -> Array:
    """Fractal noise, (height, width) float32 in 0..1, with `cells` across, `squash` times flatter than wide."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        across = max(2, int(cells * 2**octave))
        grid = rng.random((max(2, int(across * squash * height / width)), across), np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 1.8**octave
    total -= total.min()
    return total / max(float(total.max()), 1e-6)


# ---------------------------------------------------------------------------------------------- modelling


@dataclass
class Frame:
    """Where a part is: its origin, its axes (columns: ahead, up, left) and its size."""

    origin: Array
    axes: Array
    size: float = 1.0

    def __call__(self, *xyz: float) -> Array:
        return self.origin + self.size * self.axes @ np.array(xyz)


# A part in a table: paint, how wide it is for its height, whether on both sides, (x, y, z, radius) of its knots
Part = tuple[str, float, bool, list[tuple[float, float, float, float]]]
Palette = dict[str, Array]


class Clay:
    """Ellipsoids, one a row: centre 3, radius, an axis 3 and the stretch along it, colour 3, share of the pattern."""

    def __init__(self) -> None:
        self.rows: list[Array] = []

    def stroke(self, points: Sequence[Array], radii: Sequence[float] | Array, paint: Sequence[Array] | Array, *,
               wide: float = 1.0, axis: Array | None = None, grain: float = 0.0, round_: bool = True,
               step: float = 0.34) -> None:  # fmt: skip
        """Ellipsoids along a line through the points, denser where it is thin; one paint or one a point."""
        paints = np.broadcast_to(np.array(paint, np.float64), (len(points), 3))
        knots = np.column_stack([np.array(points), np.array(radii, np.float64), paints])
        if len(knots) > 2 and round_:
            for _ in range(2):  # Chaikin: cut the corners, keep the ends
                cut = np.stack([0.75 * knots[:-1] + 0.25 * knots[1:], 0.25 * knots[:-1] + 0.75 * knots[1:]], 1)
                knots = np.vstack([knots[:1], cut.reshape(-1, 7), knots[-1:]])
        if len(knots) > 1:
            steps = knots[1:, :3] - knots[:-1, :3]
            lengths = np.sqrt((steps * steps).sum(1))
            thin = np.maximum((knots[:-1, 3] + knots[1:, 3]) / 2, 0.004) * min(1.0, max(wide, 0.5))
            along = np.concatenate([[0], np.cumsum(lengths / thin)])
            at = np.linspace(0, along[-1], max(2, int(along[-1] / step) + 1))
            before = np.clip(np.searchsorted(along, at, side="right") - 1, 0, len(along) - 2)
            part = (at - along[before]) / np.maximum(along[before + 1] - along[before], 1e-9)
            knots = knots[before] + part[:, None] * (knots[before + 1] - knots[before])
        rows = np.empty((len(knots), 12))
        rows[:, :4], rows[:, 8:11] = knots[:, :4], knots[:, 4:]
        rows[:, 4:7], rows[:, 7], rows[:, 11] = (0, 0, 1) if axis is None else axis, wide, grain
        self.rows.append(rows)

    def strand(self, points: Sequence[Array], radii: Sequence[float], paint: Array) -> None:
        """A lock of hair: few ellipsoids, long in its direction."""
        self.stroke(points, np.maximum(radii, 0.008), paint, step=1.5)
        rows = self.rows[-1]
        along = np.gradient(rows[:, :3], axis=0)
        rows[:, 4:7] = along / np.linalg.norm(along, axis=1, keepdims=True)
        rows[:, 7] = 2.2
        rows[-1, 3] *= 0.6

    def build(self, frame: Frame, parts: Iterable[Part], palette: Palette, bulk: float = 1.0) -> None:
        """Parts from a table; a part of the "main" paint carries the pattern."""
        for paint, wide, both, knots in parts:
            for side in (1, -1)[: 1 + both]:
                points = [frame(x, y, side * z) for x, y, z, _ in knots]
                radii = [r * bulk * frame.size for *_, r in knots]
                grain, axis = float(paint == "main"), frame.axes[:, 2]
                self.stroke(points, radii, palette[paint], wide=wide, axis=axis, grain=grain, step=0.3)

    def stand(self, *points: Array) -> tuple[Array, ...]:
        """All rows, with the lowest of them on the ground, and the points moved along."""
        rows = np.vstack(self.rows)
        down = vec(0, (rows[:, 1] - rows[:, 3]).min(), 0)
        rows[:, :3] -= down
        return rows, *(point - down for point in points)


@dataclass
class Figure:
    rows: Array  # (n, 12), see Clay
    head: Array  # (3,) where a close-up looks
    pattern: Array  # (TILE, TILE) float32 0..1, seen from the side
    second: Array  # (3,) the colour that the pattern mixes in
    gloss: float
    lift: float = 0.0  # metres above the ground


def _spots(rng: Rng) -> Array:
    tile = np.zeros((TILE, TILE), np.float32)
    for x, y, r in np.column_stack([rng.integers(0, TILE, (110, 2)), rng.integers(4, 12, 110)]).tolist():
        cv2.circle(tile, (x, y), r, (1.0,), -1, cv2.LINE_AA)
    return tile


def _bands(count: int) -> Array:
    return (np.sin(np.arange(TILE) * (2 * np.pi * count / TILE)) > 0.1).astype(np.float32)


PATTERNS: dict[str, Callable[[Rng], Array]] = {
    "plain": lambda rng: np.zeros((TILE, TILE), np.float32),
    "cloudy": lambda rng: 0.8 * noise(rng, TILE, TILE, 8),
    "dapple": lambda rng: np.clip(noise(rng, TILE, TILE, 22, 2) * 3 - 1.0, 0, 1),
    "patches": lambda rng: np.clip((noise(rng, TILE, TILE, 6, 2) - 0.5) * 16, 0, 1),
    "spots": _spots,
    "stripes": lambda rng: np.tile(_bands(int(rng.integers(18, 40)))[:, None], (1, TILE)),
    "checks": lambda rng: (_bands(22)[:, None] + _bands(22)) / 2,
}

# ---------------------------------------------------------------------------------------------- horses

# fmt: off
COATS = [  # body, lower legs, mane and tail, pattern and its colour, how often
    ((38, 66, 118), (24, 24, 28), (22, 22, 25), "cloudy", (30, 50, 90), 4),  # bay
    ((40, 78, 156), (42, 80, 150), (48, 92, 170), "cloudy", (30, 60, 125), 3),  # chestnut
    ((38, 36, 38), (30, 28, 29), (22, 21, 22), "cloudy", (56, 52, 54), 3),  # black
    ((150, 148, 146), (88, 84, 82), (90, 86, 84), "dapple", (206, 204, 200), 3),  # dapple grey
    ((218, 222, 226), (190, 196, 204), (232, 234, 236), "cloudy", (192, 198, 206), 3),  # white
    ((92, 156, 206), (150, 200, 228), (206, 228, 238), "cloudy", (70, 130, 184), 3),  # palomino
    ((104, 142, 172), (44, 48, 58), (34, 36, 42), "cloudy", (84, 120, 152), 2),  # dun
    ((36, 58, 104), (226, 230, 234), (40, 44, 58), "patches", (226, 230, 234), 3),  # pinto
    ((36, 35, 37), (224, 226, 228), (30, 30, 32), "patches", (226, 228, 230), 2),  # piebald
    ((206, 208, 212), (120, 120, 126), (110, 108, 110), "spots", (50, 50, 62), 2),  # appaloosa
]
HORSE_BODY: list[Part] = [
    ("main", 0.84, False, [(-0.5, 0.81, 0, 0.13), (-0.4, 0.79, 0, 0.2), (-0.2, 0.775, 0, 0.192), (0, 0.757, 0, 0.2),
                           (0.2, 0.757, 0, 0.213), (0.36, 0.775, 0, 0.17)]),
    ("main", 0.75, False, [(-0.05, 0.86, 0, 0.08), (0.15, 0.885, 0, 0.09), (0.3, 0.88, 0, 0.105)]),  # withers
    ("main", 0.8, True, [(0.27, 0.86, 0.06, 0.09), (0.36, 0.72, 0.075, 0.11), (0.29, 0.62, 0.095, 0.08)]),  # shoulder
    ("main", 0.8, True, [(-0.42, 0.86, 0.07, 0.13), (-0.4, 0.7, 0.09, 0.135)]),  # haunch
    ("main", 1.15, False, [(0.39, 0.73, 0, 0.12)]),  # breast
]
HORSE_HEAD: list[Part] = [  # along the nose, toward the brow, to the left
    ("coat", 0.74, False, [(0, 0, 0, 0.08), (0.12, 0, 0, 0.086), (0.25, -0.005, 0, 0.063)]),
    ("coat", 0.66, False, [(0.09, -0.055, 0, 0.088)]),  # jaw
    ("coat", 0.7, False, [(0.12, -0.06, 0, 0.06), (0.29, -0.048, 0, 0.042)]),
    ("muzzle", 0.8, False, [(0.28, -0.012, 0, 0.057), (0.35, -0.012, 0, 0.053), (0.385, -0.022, 0, 0.046)]),
    ("muzzle", 0.9, False, [(0.31, -0.052, 0, 0.036), (0.375, -0.058, 0, 0.027)]),  # chin
    ("lid", 1.0, True, [(0.118, 0.044, 0.05, 0.016), (0.158, 0.036, 0.05, 0.014)]),
    ("dark", 1.0, True, [(0.136, 0.034, 0.054, 0.018)]),  # eye
    ("white", 1.0, True, [(0.139, 0.043, 0.068, 0.005)]),
    ("dark", 1.0, True, [(0.4, 0.002, 0.03, 0.013), (0.39, 0.012, 0.038, 0.01)]),  # nostril
    ("dark", 1.0, True, [(0.34, -0.05, 0.036, 0.006), (0.4, -0.046, 0.022, 0.006)]),  # mouth
    ("coat", 1.0, True, [(-0.02, 0.05, 0.042, 0.026), (-0.035, 0.1, 0.055, 0.027), (-0.04, 0.165, 0.06, 0.007)]),  # ear
    ("lid", 1.0, True, [(0.0, 0.085, 0.053, 0.014), (-0.018, 0.13, 0.06, 0.009)]),
]
BLAZE: list[Part] = [("white", 1.0, False, [(0.09, 0.063, 0, 0.024), (0.3, 0.035, 0, 0.016)])]
FORE, HIND = (0.02, 0.0, 0.5), (0.38, -0.62, 0.04, 0.5)
# Body pitch, neck, head (0 ahead, up positive), metres off the ground, wind in the hair, how often; then the legs, left
# fore, right fore, left hind, right hind: forearm or thigh and gaskin, cannon, pastern; 0 hangs down, ahead positive
HORSE_POSES = [
    ((0.0, 0.85, -0.7, 0.0, 0.1, 4), FORE, (-0.06, -0.04, 0.5), HIND, (0.25, -0.75, -0.04, 0.5)),  # stands
    ((0.0, 0.55, -0.9, 0.0, 0.1, 2), FORE, FORE, (0.5, -0.45, 0.2, 0.2), HIND),  # rests
    ((0.0, 0.7, -0.7, 0.0, 0.2, 3), (0.4, 0.25, 0.6), (-0.32, -0.4, 0.1),
     (0.12, -0.95, -0.3, 0.0), (0.75, -0.35, 0.35, 0.6)),
    ((0.02, 0.9, -0.75, 0.05, 0.5, 3), (1.1, -0.75, -1.2), (-0.35, -0.45, 0.0),
     (0.0, -1.1, -0.55, -0.8), (0.9, -0.4, 0.2, 0.5)),
    ((0.05, 0.5, -0.4, 0.16, 1.3, 3), (1.25, 0.95, 0.6), (0.95, -0.5, -1.0),
     (-0.25, -1.2, -1.0, -1.2), (0.1, -1.25, -0.8, -0.9)),
    ((-0.05, 0.6, -0.55, 0.14, 1.0, 2), (0.35, -1.2, -1.7), (-0.1, -1.0, -1.5),
     (1.15, -0.1, 0.5, 0.6), (0.95, -0.35, 0.3, 0.4)),
    ((0.8, 0.6, -0.4, 0.0, 0.6, 2.5), (1.35, -0.55, -1.2), (1.7, -0.1, -0.9),
     (0.75, -0.55, 0.25, 0.6), (0.55, -0.75, 0.1, 0.6)),
    ((-0.03, -0.68, -1.25, 0.0, 0.0, 3), (0.28, 0.2, 0.6), (-0.18, -0.1, 0.4), HIND, (0.2, -0.8, -0.1, 0.4)),  # grazes
    ((0.35, 0.55, -0.45, 0.3, 1.0, 2), (1.6, -0.5, -1.3), (1.4, -0.7, -1.4),
     (-0.3, -1.2, -0.9, -0.9), (-0.15, -1.1, -0.7, -0.8)),
]
# fmt: on


def horse(rng: Rng) -> Figure:
    clay = Clay()
    *paints, pattern, second, _ = pick(rng, COATS, [coat[-1] for coat in COATS])
    coat, legs, hair = (tint(rng, paint, 9) for paint in paints)
    (pitch, neck_up, head_up, lift, wind, _), *swings = pick(rng, HORSE_POSES, [pose[0][-1] for pose in HORSE_POSES])
    bulk = rng.uniform(0.92, 1.1)
    white, nose = tint(rng, (226, 230, 234), 6), pick(rng, [(60, 60, 66), (60, 60, 66), (150, 160, 205)])
    palette = {"main": coat, "coat": coat, "lid": 0.55 * coat, "dark": vec(18, 17, 21), "white": white,
               "muzzle": 0.5 * coat + 0.5 * vec(*nose)}  # fmt: skip

    hip = vec(-0.4, 0.78, 0)
    axes = turn(pitch=pitch + rng.normal(0, 0.03))
    body = Frame(hip - axes @ hip, axes)
    clay.build(body, HORSE_BODY, palette, bulk)
    _horse_legs(rng, clay, body, swings, pitch, coat, legs, white)

    look, neck_up = rng.normal(0, 0.28), neck_up + rng.normal(0, 0.1) + 0.5 * pitch
    neck = Frame(body(0.3, 0.84, 0), turn(look, neck_up), 0.64 if neck_up < 0 else 0.5)
    poll = neck(1, 0.07, 0)
    crest = [neck(-0.2, -0.08, 0), neck(-0.02, 0, 0), neck(0.45, 0.06, 0), neck(0.92, 0.03, 0)]
    clay.stroke(crest, [0.2, 0.182, 0.132, 0.088], coat, wide=0.66, grain=1, step=0.3)
    head = Frame(poll, turn(1.5 * look, head_up + rng.normal(0, 0.1) + 0.35 * pitch), rng.uniform(1.06, 1.18))
    clay.build(head, HORSE_HEAD + BLAZE * int(rng.random() < 0.45), palette)
    _horse_hair(rng, clay, neck, head, body(-0.6, 0.88, 0), hair, wind)
    if rng.random() < 0.3:
        strap = tint(rng, pick(rng, [(40, 40, 160), (150, 70, 30), (40, 60, 90), (60, 120, 40)]), 10)
        for x, tall, wide in ((0.05, 0.1, 0.07), (0.25, 0.078, 0.052)):
            ring = [head(x, np.cos(a) * tall - 0.018, np.sin(a) * wide) for a in np.linspace(0, 2 * np.pi, 17)]
            clay.stroke(ring, [0.011] * 17, strap, step=0.8)
        for z in (1, -1):
            clay.stroke([head(0.05, -0.03, 0.071 * z), head(0.25, -0.02, 0.053 * z)], [0.011] * 2, strap, step=0.8)
    if rng.random() < 0.25:
        leather, cloth = tint(rng, pick(rng, [(24, 42, 80), (30, 30, 34)]), 8), tint(rng, pick(rng, CLOTH))
        for paint, high, xs, reach in ((cloth, 0.0, (-0.14, 0.18), 1.35), (leather, 0.02, (-0.06, 0.1), 0.9),
                                       (leather, 0.02, (0.04, 0.08), 2.2)):  # fmt: skip
            for x in np.arange(*xs, 0.028):
                angles = np.linspace(-reach, reach, 9)
                arc = [
                    body(x, 0.75 + (0.245 * np.cos(a) + high) * bulk, (0.195 + high) * bulk * np.sin(a)) for a in angles
                ]
                clay.stroke(arc, [0.032] * 9, paint, step=0.7)
        seat = [body(x, y, 0) for x, y in ((-0.13, 1.03), (-0.09, 1.0), (0.05, 0.99), (0.11, 1.05))]
        clay.stroke(seat, [0.04, 0.045, 0.045, 0.03], leather, wide=1.8)
    rows, close = clay.stand(head(0.06, 0, 0))
    return Figure(rows, close, PATTERNS[pattern](rng), tint(rng, second, 8), 0.22, lift)


def _horse_legs(rng: Rng, clay: Clay, body: Frame, swings: Sequence[Sequence[float]], pitch: float, coat: Array,
                points: Array, white: Array) -> None:  # fmt: skip
    hoof, mid = tint(rng, pick(rng, [(40, 42, 46), (70, 84, 100)]), 6), (coat + points) / 2
    for number, swing in enumerate(swings):
        side, fore = (1, -1)[number % 2], number < 2
        sock = white if rng.random() < 0.4 else points
        joints = [body(0.28, 0.62, side * 0.1) if fore else body(-0.41, 0.79, side * 0.095)]
        lengths, radii = (
            ((0.3, 0.2, 0.085), (0.088, 0.05)) if fore else ((0.22, 0.3, 0.255, 0.085), (0.14, 0.115, 0.053))
        )
        splay = side * rng.normal(0.01, 0.03)
        for angle, length in zip(np.array(swing) + rng.normal(0, 0.05, len(swing)), lengths, strict=True):
            angle += 0.3 * pitch * fore
            joints.append(joints[-1] + length * vec(np.sin(angle), -np.cos(angle), splay))
        *upper, knee, fetlock, toe = joints
        clay.stroke([*upper, knee], radii, [coat] * len(upper) + [mid], grain=1, round_=False, wide=0.8, step=0.34)
        clay.stroke([knee], [0.046 if fore else 0.053], mid, wide=0.85)
        shin = [knee, 0.6 * knee + 0.4 * fetlock, 0.3 * knee + 0.7 * fetlock, fetlock, toe]
        clay.stroke(shin, [0.041, 0.03, 0.028, 0.038, 0.034], [mid, points, sock, sock, sock], round_=False)
        down = unit(toe - fetlock)
        clay.stroke([toe + 0.012 * down, toe + 0.05 * down], [0.039, 0.049], hoof)


def _horse_hair(rng: Rng, clay: Clay, neck: Frame, head: Frame, dock: Array, hair: Array, wind: float) -> None:
    """Mane, forelock and tail: locks that hang, blown back by speed."""
    fall, long = pick(rng, (1, -1)), rng.uniform(0.14, 0.26)
    for t in np.linspace(-0.1, 1.03, 30):
        side = fall if rng.random() < 0.8 else -fall
        root = neck(t, 0.29 - 0.11 * t + 0.07 * np.sin(np.pi * np.clip(t, 0, 1)), 0)
        drop = unit(vec(-0.15 - 0.3 * wind, -0.8, 0) - 0.2 * neck.axes[:, 0] + rng.normal(0, 0.12, 3))
        out = side * 0.08 * neck.axes[:, 2] + rng.normal(0, 0.01, 3)
        points = [root, root + out + 0.35 * long * drop, root + 1.15 * out + long * drop]
        clay.strand(points, [0.024, 0.02, 0.01], tint(rng, hair, 7))
    for _ in range(7):
        x, y, z = rng.normal(0, 0.014, 3)
        points = [head(-0.03, 0.085 + y, z), head(0.05 + x, 0.105, 2 * z), head(0.15 + x, 0.07, 3 * z)]
        clay.strand(points, [0.019, 0.017, 0.01], tint(rng, hair, 7))
    long, carry = rng.uniform(0.5, 0.68), 0.25 * wind + rng.uniform(0, 0.1)
    bends = (
        (-0.09, 0.02 + 0.2 * carry),
        (-0.14 - 0.5 * carry, 0.4 * (carry - long)),
        (-0.1 - carry, 0.8 * carry - long),
    )
    for _ in range(16):
        stray = rng.normal(0, 0.03, 3)
        points = [dock, *(dock + vec(x, y, 0) + k * stray for k, (x, y) in zip((0.3, 1, 1.5), bends, strict=True))]
        clay.strand(points, [0.026, 0.034, 0.028, 0.012], tint(rng, hair, 7))


# ---------------------------------------------------------------------------------------------- humans

# fmt: off
SKIN = [(186, 208, 240), (160, 190, 228), (140, 172, 214), (104, 142, 190), (78, 112, 160), (56, 80, 122), (40, 56, 88)]
HAIR = [(24, 24, 28), (30, 38, 52), (36, 56, 92), (60, 104, 150), (104, 168, 206), (44, 82, 156), (168, 168, 170),
        (220, 222, 224)]
CLOTH = [(38, 36, 38), (70, 66, 64), (150, 148, 146), (228, 230, 232), (110, 64, 40), (150, 96, 60), (40, 40, 150),
         (60, 110, 50), (92, 156, 206), (36, 58, 104), (120, 60, 120), (150, 130, 40), (60, 130, 220), (160, 150, 220),
         (104, 142, 172)]
IDLE, DOWN, AKIMBO = (0.03, 0.14, 0.22, 0.06), (0.02, 0.07, -0.04), (-0.3, 0.75, 0.3, -0.85)
# Forward lean, seated, how often; arms, left and right: upper swing and spread, lower swing and spread; legs, left and
# right: thigh swing and spread, shin swing. 0 hangs down, ahead and outward are positive
HUMAN_POSES = [
    ((0.02, 0, 4), IDLE, IDLE, DOWN, DOWN),  # stands
    ((0.0, 0, 2), AKIMBO, AKIMBO, (0.05, 0.16, 0.0), (-0.02, 0.12, -0.05)),
    ((0.0, 0, 2), IDLE, (0.15, 1.75, 0.2, 2.9), DOWN, (0.05, 0.1, 0.0)),  # waves
    ((-0.05, 0, 2), (0.1, 2.4, 0.1, 2.9), (0.1, 2.4, 0.1, 2.8), (0.05, 0.22, 0.0), (-0.05, 0.2, -0.1)),  # cheers
    ((0.0, 0, 2), (0.05, 1.5, 0.1, 1.55), (0.05, 1.5, 0.1, 1.6), (0.05, 0.28, 0.0), (0.0, 0.28, 0.0)),  # arms wide
    ((0.0, 0, 2), (0.1, 2.1, 0.1, 2.1), (0.1, 2.1, 0.1, 2.1), (0.05, 0.6, 0.0), (0.0, 0.6, 0.0)),  # a star
    ((0.03, 0, 2), (1.45, 0.1, 1.55, 0.05), IDLE, (0.3, 0.1, 0.1), (-0.2, 0.1, -0.3)),  # points
    ((0.05, 0, 2), (0.3, 0.2, 1.4, -0.9), (0.35, 0.15, 2.5, -0.3), DOWN, (0.1, 0.1, 0.0)),  # thinks
    ((0.05, 0, 3), (-0.5, 0.12, -0.15, 0.05), (0.45, 0.12, 0.85, 0.0), (0.45, 0.04, 0.25), (-0.3, 0.04, -0.7)),  # walks
    ((0.25, 0, 3), (-0.95, 0.25, 0.4, 0.1), (0.7, 0.2, 2.1, -0.2), (1.15, 0.06, -0.25), (-0.45, 0.05, -1.45)),  # runs
    ((0.1, 0, 2), (1.3, 0.35, 1.5, 0.3), (-1.0, 0.4, -0.9, 0.4), (1.25, 0.1, -0.05), (-0.75, 0.1, -0.95)),  # lunges
    ((0.55, 0, 2), (1.0, 0.2, 1.5, -0.3), (1.0, 0.2, 1.5, -0.3), (1.75, 0.28, -0.55), (1.65, 0.28, -0.6)),  # crouches
    ((0.08, 0, 2), (0.5, 0.15, 0.9, -0.1), (0.2, 0.15, 0.5, 0.0), (1.5, 0.12, -0.05), (-0.05, 0.1, -1.5)),  # kneels
    ((0.0, 1, 3), (0.35, 0.15, 1.0, -0.15), (0.35, 0.15, 0.9, -0.1), (1.42, 0.13, 0.05), (1.4, 0.16, 0.15)),  # sits
    ((0.7, 0, 1), (1.6, 0.1, 1.7, 0.0), (1.4, 0.2, 1.6, 0.1), (0.25, 0.12, -0.1), (-0.2, 0.12, -0.3)),  # reaches
    ((-0.1, 0, 1), (1.5, 0.5, 1.6, 0.2), (-0.2, 1.3, 1.5, 0.9), (0.3, 0.35, 0.1), (-0.2, 0.3, -0.3)),  # an archer
]
SKULL: list[Part] = [
    ("skin", 0.82, False, [(-0.008, 0.035, 0, 0.1)]),
    ("skin", 0.84, False, [(0.02, 0, 0, 0.083), (0.034, -0.058, 0, 0.058)]),
    ("skin", 1.2, False, [(0.06, -0.087, 0, 0.027)]),  # chin
    ("skin", 1.1, True, [(0.07, -0.02, 0.036, 0.026)]),  # cheeks
    ("skin", 1.0, False, [(0.096, 0.022, 0, 0.009), (0.11, -0.014, 0, 0.014)]),  # nose
    ("lips", 1.0, False, [(0.086, -0.052, -0.026, 0.005), (0.097, -0.05, 0, 0.009), (0.086, -0.052, 0.026, 0.005)]),
    ("eye", 1.3, True, [(0.083, 0.018, 0.035, 0.0135)]),
    ("iris", 1.0, True, [(0.0905, 0.018, 0.034, 0.009)]),
    ("lid", 1.0, True, [(0.089, 0.03, 0.018, 0.006), (0.09, 0.034, 0.035, 0.008), (0.078, 0.028, 0.056, 0.006)]),
    ("brow", 1.0, True, [(0.096, 0.046, 0.018, 0.005), (0.093, 0.053, 0.036, 0.006), (0.08, 0.046, 0.055, 0.004)]),
    ("skin", 1.0, True, [(0.0, 0.02, 0.084, 0.02), (-0.008, -0.02, 0.082, 0.014)]),  # ears
]
SCALP: list[Part] = [("hair", 0.87, False, [(-0.028, 0.03, 0, 0.101), (-0.022, 0.058, 0, 0.094)])]
STYLES = ("short", "bob", "long", "tail", "bun", "curls", "bald", "cap")
STYLE_ODDS = ((7, 1, 1, 0.3, 0, 2, 1.5, 2), (1, 3, 5, 3, 2, 1, 0, 1))
# fmt: on


def aim(swing: float, spread: float, side: int) -> Array:
    """The direction of a limb that hangs down, swung ahead and then spread to its own side."""
    return vec(np.sin(swing) * np.cos(spread), -np.cos(swing) * np.cos(spread), side * np.sin(spread))


def human(rng: Rng) -> Figure:
    clay = Clay()
    (lean, seated, _), *limbs = pick(rng, HUMAN_POSES, [pose[0][-1] for pose in HUMAN_POSES])
    woman, child = bool(rng.random() < 0.5), bool(rng.random() < 0.2)
    build = rng.uniform(0.88, 1.22) if rng.random() < 0.8 else rng.uniform(1.22, 1.45)
    size, big = (0.72, 1.27) if child else (rng.uniform(0.94, 1.06), 1.04)
    skin, hair = tint(rng, pick(rng, SKIN), 8), tint(rng, pick(rng, HAIR), 8)
    clothes = [tint(rng, colour) for colour in CLOTH]
    shirt, shoe = (pick(rng, [c for c in clothes if np.abs(c - skin).sum() > 110]) for _ in range(2))
    below = pick(rng, [c for c in clothes if min(np.abs(c - skin).sum(), np.abs(c - shirt).sum()) > 110])
    wear = pick(rng, ("trousers", "shorts", "skirt", "dress"), (5, 2, 2 * woman, 2 * woman))
    below = shirt if wear == "dress" else below
    sleeve = pick(rng, (0.0, 0.5, 1.0), (1, 3, 4))

    spine = turn(rng.normal(0, 0.1), -lean + rng.normal(0, 0.04), rng.normal(0, 0.05))
    torso = Frame(vec(0, 0.95, 0), spine)
    chest = Frame(torso(0, 0.34, 0), spine @ turn(rng.normal(0, 0.2)))
    hips, broad = (0.1, 0.158) if woman else (0.09, 0.185)
    hips, broad, waist = hips * build**0.5, broad * build**0.5, 0.092 if woman else 0.108
    palette = {"main": shirt, "below": below}
    seat: list[Part] = [("below", 1.42, False, [(0, -0.02, 0, 0.112), (0, 0.06, 0, 0.11)])]
    shape: list[Part] = [
        ("main", 1.42, False, [(0, -0.29, 0, 0.112), (0, -0.17, 0, waist), (0, 0, 0, 0.118), (0, 0.09, 0, 0.098)]),
    ]
    clay.build(torso, seat, palette, build)
    clay.build(chest, shape, palette, build)
    yoke = [chest(0, 0.13, -broad), chest(0, 0.155, 0), chest(0, 0.13, broad)]
    clay.stroke(yoke, [0.066, 0.072, 0.066], shirt, grain=1)
    if build > 1.15:
        clay.stroke([torso(0.04, 0.15, 0)], [0.1 * build + 0.16 * (build - 1.1)], shirt, wide=1.2, grain=1)
    if woman and not child:
        clay.build(chest, [("main", 1.0, True, [(0.075, 0.02, 0.07, 0.064)])], palette, build**0.5)

    for side, pose in zip((1, -1), limbs[:2], strict=True):
        swing, spread, swing2, spread2 = np.array(pose) + rng.normal(0, 0.1, 4)
        twist = chest.axes if lean < 0.3 else np.eye(3)
        start = chest(0, 0.125, side * (broad + 0.012))
        elbow = start + 0.275 * twist @ aim(swing, spread, side)
        lower = twist @ aim(swing2, spread2, side)
        girth = build**0.6 * (0.9 if woman else 1.05) * np.array([0.056, 0.042, 0.028])
        _arm(clay, [start, elbow, elbow + 0.24 * lower], girth, lower, sleeve, skin, shirt)
    knees = []
    for side, pose in zip((1, -1), limbs[2:], strict=True):
        swing, spread, swing2 = np.array(pose) + rng.normal(0, [0.06, 0.03, 0.06])
        hip = torso(0, -0.05, side * hips)
        knee = hip + 0.42 * aim(swing, spread, side)
        shin = aim(swing2, spread * 0.4, side)
        # A foot is flat on the ground, unless the shin is thrown back
        foot = aim(swing2 + np.pi / 2, 0.0, side) if swing2 < -0.25 else unit(vec(1, -0.04, side * 0.25))
        girth = build**0.7 * np.array([0.098, 0.06, 0.04])
        _leg(clay, [hip, knee, knee + 0.41 * shin], girth, shin, foot, wear, skin, below, shoe)
        knees.append(knee)
    apart, middle = knees[0] - knees[1], (knees[0] + knees[1]) / 2
    if wear in ("skirt", "dress") and torso.origin[1] - middle[1] > 0.3:  # it hangs; over a lap it lies on the thighs
        hem = torso.origin + rng.uniform(0.65, 1.1) * (middle - torso.origin)
        flare = [0.112 * build, 0.14 * build**0.5, 0.15 + 0.24 * float(np.linalg.norm(apart))]
        clay.stroke([torso(0, 0.06, 0), 0.65 * torso.origin + 0.35 * hem, hem], flare, below, wide=0.4,
                    axis=unit(middle - torso.origin), grain=float(wear == "dress"), step=0.34)  # fmt: skip
    if seated:
        _stool(clay, tint(rng, pick(rng, [(60, 90, 130), (90, 90, 96), (60, 60, 120), (150, 150, 156)])), 0.78)

    throat = chest(0, 0.19, 0)
    centre = throat + (0.11 + 0.045 * big) * unit(0.5 * spine[:, 1] + vec(0.05, 0.5, 0))
    clay.stroke([throat - 0.05 * spine[:, 1], centre - vec(0, 0.06, 0)], [0.056 * build**0.3, 0.05], skin)
    nod = turn(rng.normal(0, 0.3), rng.normal(0, 0.1) + 0.6 * lean, rng.normal(0, 0.07))
    _head(rng, clay, Frame(centre, chest.axes @ nod, big), skin, hair, woman)

    rows, close = clay.stand(centre)
    rows[:, :4] *= size
    pattern = pick(rng, ("plain", "stripes", "checks", "spots", "cloudy"), (5, 2, 1.5, 1, 2))
    return Figure(rows, size * close, PATTERNS[pattern](rng), pick(rng, clothes), 0.06)


def _arm(clay: Clay, joints: list[Array], girth: Array, lower: Array, sleeve: float, skin: Array, shirt: Array) -> None:
    start, elbow, wrist = joints
    clay.stroke(joints, girth, skin, round_=False)
    clay.stroke([elbow, 0.6 * elbow + 0.4 * wrist], girth[1] * np.array([1.0, 1.07]), skin)
    thumb = unit(np.cross(lower, np.cross(vec(1, 0.1, 0.2), lower)))
    palm = wrist + 0.05 * lower
    clay.stroke([wrist, palm], [0.03, 0.037], skin, wide=0.6, axis=unit(np.cross(lower, thumb)))
    for across in (-0.024, -0.008, 0.008, 0.024):
        root = palm + across * thumb + 0.02 * lower
        clay.stroke([root, root + 0.06 * lower + 0.5 * across * thumb], [0.0115, 0.009], skin, step=0.7)
    clay.stroke([wrist + 0.02 * lower, palm + 0.05 * thumb + 0.01 * lower], [0.014, 0.011], skin, step=0.7)
    if sleeve:  # clothes are a fatter stroke over the limb
        cuff = joints if sleeve == 1 else [start, start + (elbow - start) * 1.2 * sleeve]
        clay.stroke(cuff, girth[: len(cuff)] + 0.013, shirt, grain=1, round_=False)


def _leg(clay: Clay, joints: list[Array], girth: Array, shin: Array, foot: Array, wear: str, skin: Array, below: Array,
         shoe: Array) -> None:  # fmt: skip
    hip, knee, ankle = joints
    clay.stroke(joints, girth, skin, round_=False)
    calf = [knee, 0.65 * knee + 0.35 * ankle, 0.3 * knee + 0.7 * ankle]
    clay.stroke(calf, girth[1] * np.array([0.92, 0.97, 0.75]), skin)
    if wear == "trousers":
        clay.stroke(joints, girth + np.array([0.01, 0.012, 0.02]), below, round_=False)
    else:
        reach = 0.75 if wear == "shorts" or knee[1] > hip[1] - 0.28 else 0.3
        clay.stroke([hip, hip + reach * (knee - hip)], [girth[0] + 0.012, girth[0] - 0.006], below)
    heel = ankle + 0.045 * shin
    shape = [heel - 0.03 * foot, heel + 0.06 * foot, heel + 0.16 * foot - vec(0, 0.012, 0)]
    clay.stroke(shape, [0.044, 0.043, 0.033], shoe)
    sole = [heel - 0.03 * foot + 0.028 * shin, heel + 0.16 * foot + 0.018 * shin]
    clay.stroke(sole, [0.03, 0.028], 0.35 * shoe + 20)


def _stool(clay: Clay, wood: Array, top: float) -> None:
    for z in np.linspace(-0.2, 0.2, 6):
        clay.stroke([vec(-0.2, top, z), vec(0.2, top, z)], [0.035, 0.035], wood)
    for x, z in ((-0.19, -0.2), (-0.19, 0.2), (0.19, -0.2), (0.19, 0.2)):
        clay.stroke([vec(x, top, z), vec(1.1 * x, top - 0.3, 1.1 * z)], [0.022, 0.022], 0.8 * wood)


def _head(rng: Rng, clay: Clay, at: Frame, skin: Array, hair: Array, woman: bool) -> None:
    big, left = at.size, at.axes[:, 2]
    palette = {"skin": skin, "lid": 0.93 * skin, "lips": skin * vec(0.72, 0.7, 0.92), "hair": hair}
    palette |= {"brow": 0.7 * np.minimum(hair, 150), "eye": vec(228, 230, 232), "iris": vec(30, 34, 44)}
    style = pick(rng, STYLES, STYLE_ODDS[woman])
    clay.build(at, SKULL + SCALP * (style != "bald"), palette)

    def lock(points: Sequence[Array], *radii: float) -> None:
        clay.strand(points, [big * r for r in radii], tint(rng, hair, 7))

    if style != "bald":  # from the crown to the hairline
        for z in np.linspace(-0.06, 0.06, 9):
            zz = z * z
            front = at(0.078 - 6 * zz, 0.088 - 4 * zz, 1.15 * z)
            lock([at(-0.01, 0.135 - 4 * zz, 0.8 * z), at(0.06, 0.116 - 5 * zz, z), front], 0.022, 0.02, 0.01)
    if style in ("long", "bob"):
        for a in np.linspace(-2.0, 2.0, 22):
            x, z = -0.02 - 0.095 * np.cos(a), 0.088 * np.sin(a)
            end = at(1.1 * x, 0, z) - vec(0, big * ((0.32 if style == "long" else 0.1) + rng.normal(0, 0.015)), 0)
            lock([at(0.4 * x, 0.11, 0.6 * z), at(x, 0.03, z), at(x, -0.06, 1.08 * z), end], 0.024, 0.024, 0.022, 0.012)
    if style in ("tail", "bun"):
        clay.stroke([at(-0.13, 0.085, 0)], [(0.05 if style == "bun" else 0.03) * big], hair)
    if style == "tail":
        for w in rng.normal(0, 0.014, (7, 3)):
            lock([at(-0.12, 0.085, 0), at(-0.17, 0.05, 0) + w, at(-0.165, -0.2, 0) + 1.5 * w], 0.02, 0.024, 0.01)
    if style == "curls":
        for x, y, z in rng.normal(0, 1, (45, 3)) + vec(-0.4, 0.9, 0):
            x, y, z = unit(vec(x, y, z))
            if x < 0.55 or y > 0.6:
                curl = at(-0.025 + 0.105 * x, 0.045 + 0.1 * y, 0.1 * z)
                clay.stroke([curl], [rng.uniform(0.022, 0.036) * big], tint(rng, hair, 7))
    if style == "cap":
        felt = tint(rng, pick(rng, CLOTH), 10)
        clay.stroke([at(-0.012, 0.062, 0)], [0.103 * big], felt, wide=0.88, axis=left)
        brim = [at(0.05, 0.075, 0), at(0.135, 0.066, 0)]
        clay.stroke(brim, [0.07 * big, 0.06 * big], 0.8 * felt, wide=0.18, axis=at.axes[:, 1])
    if not woman and rng.random() < 0.25:
        for a in np.linspace(-1.35, 1.35, 13):
            beard = at(0.012 + 0.072 * np.cos(a), -0.06 - 0.033 * np.cos(a), 0.066 * np.sin(a))
            clay.stroke([beard], [0.023 * big], tint(rng, hair, 7))


# ---------------------------------------------------------------------------------------------- camera and light


@dataclass
class Camera:
    view: Array  # (3, 3): rows point right, up and toward the camera
    target: Array  # (3,) what is in the middle
    distance: float
    zoom: float  # pixels a metre at the target
    centre: tuple[float, float]  # pixels: where the target appears

    def project(self, points: Array) -> tuple[Array, Array, Array, Array]:
        """(n, 3) points → column, row, depth toward the camera, pixels a metre, each (n,)."""
        right, up, near = self.view @ (points - self.target).T
        scale = self.zoom * self.distance / np.maximum(self.distance - near, 0.3)
        return self.centre[0] + right * scale, self.centre[1] - up * scale, near, scale

    def horizon(self) -> float:
        return float(self.centre[1] - self.zoom * self.distance * self.view[2, 1] / self.view[1, 1])


@dataclass
class Light:
    toward: Array  # (3,) unit, to the sun, in the figure's space
    sun: Array  # (3,) factors of blue, green, red, as the next two
    sky: Array
    ground: Array


# How much of the picture the figure fills, 0 for a close-up of the head, and how often
FRAMES, FRAME_ODDS = ((0.45, 0.62), (0.62, 0.9), (0.9, 1.3), (0.0, 0.0)), (2, 5, 2, 1.5)


def shoot(rng: Rng, figure: Figure, size: int) -> Camera:
    """A camera that has the figure, or at least its head, in the picture; rarely from behind."""
    pitch = rng.uniform(0.02, 0.28)
    away = rng.uniform(-2.4, 2.4)  # from looking into the camera
    view = turn(roll=pitch) @ turn(away - np.pi / 2)
    rows, distance, fill = figure.rows, rng.uniform(3.5, 7), rng.uniform(*pick(rng, FRAMES, FRAME_ODDS))
    if not fill:
        spot = size * rng.uniform([0.36, 0.24], [0.64, 0.42])
        return Camera(view, figure.head, distance, size / rng.uniform(0.8, 1.15), (spot[0], spot[1]))
    camera = Camera(view, (rows[:, :3].min(0) + rows[:, :3].max(0)) / 2, distance, 1.0, (0.0, 0.0))
    u, v, _, scale = camera.project(rows[:, :3])
    reach = rows[:, 3] * scale
    low, high = np.array([(u - reach).min(), (v - reach).min()]), np.array([(u + reach).max(), (v + reach).max()])
    head = np.concatenate(camera.project(figure.head[None])[:2])
    camera.zoom = fill * size / (high - low).max()
    slack = np.maximum(size - camera.zoom * (high - low), 0.16 * size)
    spot = size / 2 + slack * rng.uniform(-0.42, 0.42, 2) - camera.zoom * (low + high) / 2
    seen = spot + camera.zoom * head
    spot += np.clip(seen, 0.22 * size, 0.78 * size) - seen
    camera.centre = (float(spot[0]), float(spot[1]))
    return camera


def daylight(rng: Rng, camera: Camera) -> Light:
    """Some sun from the side of the camera, some sky: hard light has deep shadows, soft light has none."""
    azimuth, hard, warm = rng.uniform(-1.25, 1.25), rng.uniform(0.45, 0.95), rng.uniform(-0.06, 0.06)
    level = camera.view.T @ vec(np.sin(azimuth), 0, np.cos(azimuth)) * vec(1, 0, 1)
    sun = hard * vec(1 - warm, 1, 1 + warm)
    sky, ground = (1.02 - 0.6 * hard) * vec(1.05, 1, 0.97), (0.62 - 0.4 * hard) * vec(0.92, 1, 1.02)
    toward = unit(level + vec(0, rng.uniform(0.5, 1.6), 0))
    return Light(toward, *(colour.astype(np.float32) for colour in (sun, sky, ground)))


# ---------------------------------------------------------------------------------------------- rendering


def melt(figure: Figure, camera: Camera, size: int) -> tuple[Array, Array]:
    """Ellipsoids → surface (size, size) float32, the depth toward the camera, -inf beside them; owner (size, size).

    Seen along the line of sight, an ellipsoid with the matrix S is like a Gaussian of the covariance S: its middle
    surface is the conditional mean, its thickness the conditional deviation. Surfaces meet in a soft maximum, and
    the foremost one, the owner of a pixel, gives the paint.
    """
    rows = figure.rows
    u, v, depth, scale = camera.project(rows[:, :3])
    axis = rows[:, 4:7] @ camera.view.T
    stretch = (rows[:, 7, None, None] ** 2 - 1) * axis[:, :, None] * axis[:, None]
    shape = rows[:, 3, None, None] ** 2 * (np.eye(3) + stretch)
    a, b, d = shape[:, 0, 0], shape[:, 0, 1], shape[:, 1, 1]
    flat_x, flat_xy, flat_y = np.stack([d, -b, a]) / (a * d - b * b)  # the inverse, as one sees it
    side, rise = shape[:, 2, 0], shape[:, 2, 1]
    slope_x, slope_y = flat_x * side + flat_xy * rise, flat_xy * side + flat_y * rise
    thick = np.sqrt(np.maximum(shape[:, 2, 2] - slope_x * side - slope_y * rise, 1e-12))
    half = np.sqrt(shape[:, [0, 1], [0, 1]]) * scale[:, None]
    low = np.clip(np.floor(np.column_stack([u, v]) - half), 0, size).astype(int)
    high = np.clip(np.ceil(np.column_stack([u, v]) + half) + 1, 0, size).astype(int)
    middle = (depth.max() + depth.min()) / 2
    sharp = min(150.0, 75.0 / (np.ptp(depth) / 2 + 0.3))  # as sharp as exp can be in float32
    table = [u, v, 1 / scale, (sharp * thick) ** 2, flat_x, flat_xy, flat_y, sharp * slope_x, sharp * slope_y,
             sharp * (depth - middle)]  # fmt: skip
    numbers = np.array(table, np.float32)[:, :, None]

    def bulge(balls: Array, width: int, height: int) -> tuple[Array, Array]:
        """exp(sharp * depth) of each ball over a window from its low corner, (n, height, width), and where it is."""
        u0, v0, metre, stiff, xx, xy, yy, dip_x, dip_y, lead = numbers[:, balls]
        dx = (low[balls, :1] + np.arange(width, dtype=np.float32) - u0) * metre
        dy = (v0 - low[balls, 1:] - np.arange(height, dtype=np.float32)) * metre
        dx, dy = dx.astype(np.float32), dy.astype(np.float32)
        level = (-2 * stiff * xy * dy)[:, :, None] * dx[:, None]
        level += (stiff - stiff * xx * dx * dx)[:, None]
        level -= (stiff * yy * dy * dy)[:, :, None]
        hit = level > 0
        np.sqrt(np.maximum(level, 0, out=level), out=level)
        level += (dip_x * dx + lead)[:, None]
        level += (dip_y * dy)[:, :, None]
        np.putmask(level, ~hit, -200.0)  # beside the ball: nothing, and no overflow
        return np.exp(level, out=level), hit

    wide = size + SMALL  # a margin, so that no window of a small ball sticks out
    total, front = np.full((wide, wide), 1e-36, np.float32), np.zeros((wide, wide), np.float32)
    owner, extent = np.zeros((wide, wide), np.int32), np.where((low < high).all(axis=1), (high - low).max(axis=1), 0)
    for i in np.flatnonzero(extent > SMALL):
        (x0, y0), (x1, y1) = low[i].tolist(), high[i].tolist()
        level, hit = (plane[0] for plane in bulge(np.array([i]), x1 - x0, y1 - y0))
        total[y0:y1, x0:x1] += level
        best = front[y0:y1, x0:x1]
        np.greater(level, best, out=hit)
        np.copyto(best, level, where=hit)
        np.copyto(owner[y0:y1, x0:x1], i, where=hit)
    total, front, owner = total.ravel(), front.ravel(), owner.ravel()
    for side in (SMALL // 4, SMALL // 2, SMALL):  # the many small ones at once, by their size
        alike = np.flatnonzero((extent <= side) & (extent > (side // 2 if side > SMALL // 4 else 0)))
        for balls in np.array_split(alike, -(-len(alike) * side * side // 2**17) or 1):
            level, hit = bulge(balls, side, side)
            ball, y, x = np.nonzero(hit)
            balls, level = balls[ball], level[hit]
            pixel = (low[balls, 1] + y) * wide + low[balls, 0] + x
            np.add.at(total, pixel, level)
            np.maximum.at(front, pixel, level)
            first = level == front[pixel]
            owner[pixel[first]] = balls[first]
    surface = np.where(front > 0, np.log(total) / sharp + middle, -np.inf).astype(np.float32)
    return surface.reshape(wide, wide)[:size, :size], owner.reshape(wide, wide)[:size, :size]


def render(rng: Rng, picture: Array, figure: Figure, camera: Camera, light: Light) -> None:
    """Put the lit figure into the picture, (size, size, 3) float32, in place."""
    finer, size = FINE / COARSE, len(picture)
    zoom, centre = camera.zoom * finer, (camera.centre[0] * finer, camera.centre[1] * finer)
    fine = Camera(camera.view, camera.target, camera.distance, zoom, centre)
    surface, owner = melt(figure, fine, -(-size // COARSE) * FINE)
    lines, columns = (np.flatnonzero((surface > -np.inf).any(axis=side)) // FINE for side in (1, 0))
    if not len(lines):
        return
    top, left = lines[0], columns[0]
    crop = np.s_[top * FINE : (lines[-1] + 1) * FINE, left * FINE : (columns[-1] + 1) * FINE]
    surface, owner = np.ascontiguousarray(surface[crop]), np.ascontiguousarray(owner[crop])
    height, width = surface.shape
    cover = (surface > -np.inf).astype(np.float32)
    here = np.flatnonzero(cover)  # all below is for these pixels only, (n,) or (n, 3)
    point = surface.take(here)
    np.maximum(surface, point.min() - 0.1, out=surface)
    view = camera.view.astype(np.float32)

    # Slopes; and how far a point lies behind what is around it, for as much less of the sky comes there
    smooth = cv2.GaussianBlur(surface, (0, 0), 1.3)
    run, climb = (cv2.Sobel(smooth, cv2.CV_32F, *way, ksize=3, scale=zoom / 8).take(here) for way in ((1, 0), (0, 1)))
    coarse = (-(-width // 4), -(-height // 4))
    blurred = [cv2.GaussianBlur(cv2.resize(plane, coarse, interpolation=cv2.INTER_AREA), (0, 0), 0.012 * zoom + 0.3)
               for plane in (surface * cover, cover)]  # fmt: skip
    around = cv2.resize(blurred[0] / np.maximum(blurred[1], 1e-3), (width, height)).take(here)
    sky = np.clip(1 - 2.6 * np.maximum(around - point, 0), 0.3, 1)[:, None]

    # A sun that wraps around a little, a sky, light from the ground, a highlight
    toward = view @ light.toward
    steep = 1 / np.sqrt(1 + run * run + climb * climb)
    facing, shining, upward = (
        ((look[2] - look[0] * run + look[1] * climb) * steep)[:, None]
        for look in np.array([toward, unit(toward + vec(0, 0, 1)), view[:, 1]], np.float32)
    )
    lit = np.clip((facing + 0.12) / 1.12, 0, 1)
    shade = lit * np.sqrt(sky) * light.sun + sky * (light.ground + (0.5 + 0.5 * upward) * (light.sky - light.ground))
    shining = np.maximum(shining, 0)
    for _ in range(4):  # to the 16th
        shining *= shining
    shine = np.float32(255 * figure.gloss) * shining * lit * light.sun

    # The pattern and a fine grain lie in the figure's own space, projected from its side
    rows, columns = np.divmod(here, width)
    x, y = np.float32((columns + left * FINE - centre[0]) / zoom), np.float32((centre[1] - top * FINE - rows) / zoom)
    across, up = (
        (TEXELS * (view[0, axis] * x + view[1, axis] * y + view[2, axis] * point + camera.target[axis])).astype(
            np.int32
        )
        for axis in (0, 1)
    )
    paint = figure.rows[:, 8:].astype(np.float32).take(owner.take(here), axis=0)
    colour, share = paint[:, :3], paint[:, 3] * figure.pattern.take((-up & (TILE - 1)) * TILE + (across & (TILE - 1)))
    colour += (figure.second - colour) * share[:, None]
    colour *= (0.88 + 0.24 * noise(rng, 256, 256, 60, 2).take((-up & 255) * 256 + (across & 255)))[:, None]

    layer = np.zeros((height * width, 4), np.float32)
    layer[here, :3], layer[here, 3] = colour * shade + shine, 1
    small = (width * COARSE // FINE, height * COARSE // FINE)
    shrunk = cv2.resize(layer.reshape(height, width, 4), small, interpolation=cv2.INTER_AREA)
    spot = picture[top * COARSE :, left * COARSE :][: small[1], : small[0]]
    shrunk = shrunk[: len(spot), : len(spot[0])]  # of an odd size there is half a step less
    spot += shrunk[..., :3] - spot * shrunk[..., 3:]


def shadow(figure: Figure, camera: Camera, light: Light, size: int, soft: float) -> Array:
    """How much of its light the ground misses for the figure, (size, size, 1) float32 0..1."""
    total = np.zeros((size, size), np.float32)
    low = abs(camera.view[2, 1]) + 0.06
    for toward, most, blur in ((light.toward, 9.0, soft), (vec(0, 1, 0), 0.22, 1.5 + 0.02 * camera.zoom)):
        rows = figure.rows[figure.rows[:, 1] < most]  # straight down: only where it touches the ground
        if len(rows):
            mask = np.zeros((size, size), np.float32)
            u, v, _, scale = camera.project(rows[:, :3] - toward * (rows[:, 1] / toward[1])[:, None])
            seen = (np.abs(u) < 3 * size) & (np.abs(v) < 3 * size)
            for x, y, r in (16 * np.column_stack([u, v, rows[:, 3] * scale])[seen]).astype(int).tolist():
                cv2.ellipse(mask, (x, y), (r, int(r * low)), 0, 0, 360, (1.0,), -1, shift=4)
            np.maximum(total, cv2.GaussianBlur(mask, (0, 0), blur), out=total)
    return total[..., None]


# ---------------------------------------------------------------------------------------------- scenery


def _over(picture: Array, mask: Array, colour: Array) -> None:
    """Paint a colour (3,) or a picture where the mask (size, size) 0..1 says."""
    change = colour - picture
    change *= mask[..., None]
    picture += change


def _below(size: int, line: Array | float) -> Array:
    """A mask of what is below a line, (size,) rows or one."""
    rows = np.arange(size, dtype=np.float32)[:, None]
    return np.clip(rows - np.broadcast_to(line, size) + 0.5, 0, 1).astype(np.float32)


def _box(picture: Array, x: float, y: float, w: float, h: float, colour: Array, line: int = -1) -> None:
    cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), colour.tolist(), line)


def _ramp(top: Array, bottom: Array, size: int) -> Array:
    t = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    return np.repeat((1 - t) * top + t * bottom, size, axis=1)


def _ground(rng: Rng, picture: Array, line: float, *colours: Sequence[float]) -> None:
    """A textured plane from the line down, finer the farther."""
    size, first = len(picture), int(max(line, 0))
    rows, columns = np.indices((size - first, size), np.float32)
    far = 1 / (np.maximum(rows + first - line, 0) + 0.02 * size)
    across, along = (columns - size / 2) * far * 110 + rng.uniform(0, 9999), 60 * size * far
    texture = noise(rng, 256, 256, 6, 5)
    mix = cv2.remap(texture, across.astype(np.float32), along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    mix = mix * np.clip(1.1 - 0.025 * size * far, 0.2, 1)
    dark, bright = (tint(rng, colour, 10) for colour in colours)
    _over(picture[first:], _below(size, line)[first:], dark + (bright - dark) * mix[..., None])


# fmt: off
SKIES = [((200, 130, 70), (238, 214, 186)), ((214, 196, 180), (232, 226, 220)), ((120, 90, 90), (120, 170, 236)),
         ((150, 96, 50), (220, 190, 150)), ((120, 84, 66), (160, 130, 116))]
LEAVES = [(40, 80, 50), (40, 100, 84), (36, 60, 44), (50, 110, 150)]
GRASS = [((30, 76, 50), (90, 170, 140)), ((60, 110, 120), (120, 190, 200)), ((50, 80, 100), (110, 150, 170))]
WALLS = [(110, 130, 160), (150, 160, 170), (90, 100, 150), (170, 190, 200), (100, 96, 92)]
FLOORS = [((60, 90, 130), (90, 130, 170)), ((96, 96, 100), (140, 140, 146)), ((50, 56, 100), (70, 80, 130))]
# fmt: on


def _sky(rng: Rng, size: int) -> Array:
    top, bottom = pick(rng, SKIES)
    picture = _ramp(tint(rng, top), tint(rng, bottom), size)
    cloud = np.clip((noise(rng, size, size, 3, 4, squash=2) - rng.uniform(0.4, 0.75)) * 3, 0, 0.9)
    _over(picture, cloud, tint(rng, bottom, 6) * 0.5 + 120)
    return np.minimum(picture, 255)


def _hills(rng: Rng, picture: Array, line: float) -> None:
    size, colour = len(picture), tint(rng, pick(rng, [(130, 110, 80), (90, 120, 96), (110, 130, 150), (70, 96, 80)]))
    for far in (0.22, 0.1):
        ridge = line - far * size * rng.uniform(0.3, 1.2) * noise(rng, 1, size, 3, 4)[0]
        _over(picture, _below(size, ridge), colour * (1 - far) + 210 * far)
        colour = colour * 0.78


def _trees(rng: Rng, picture: Array, line: float, count: int) -> None:
    size = len(picture)
    for x in rng.uniform(0, size, count):
        tall, leaf = rng.uniform(0.12, 0.5) * size, tint(rng, pick(rng, LEAVES), 10)
        foot = line + rng.uniform(0, 0.06) * size
        _box(picture, x - tall / 30, foot - tall, tall / 15, tall, vec(40, 56, 74))
        for dx, dy in rng.normal(0, 0.15, (70, 2)) * tall:
            colour = leaf * rng.uniform(0.6, 1.2) * (1 - 0.9 * dy / tall)
            spot = (int(x + dx), int(foot - 0.76 * tall + dy))
            cv2.circle(picture, spot, int(rng.uniform(0.03, 0.1) * tall) + 1, colour.tolist(), -1, cv2.LINE_AA)


def meadow(rng: Rng, size: int, horizon: float) -> Array:
    picture = _sky(rng, size)
    _hills(rng, picture, horizon)
    _ground(rng, picture, horizon, *pick(rng, GRASS))
    _trees(rng, picture, horizon, int(rng.integers(0, 6)))
    return picture


def beach(rng: Rng, size: int, horizon: float) -> Array:
    picture = _sky(rng, size)
    if rng.random() < 0.5:
        _hills(rng, picture, horizon)
    _ground(rng, picture, horizon, (140, 100, 40), (200, 170, 100))
    shore = horizon + size * (rng.uniform(0.06, 0.16) + 0.05 * noise(rng, 1, size, 2, 3)[0])
    _over(picture, _below(size, shore), vec(236, 236, 232))
    sand = picture.copy()
    _ground(rng, sand, horizon, (130, 165, 190), (180, 210, 228))
    _over(picture, _below(size, shore + 0.02 * size), sand)
    return picture


def road(rng: Rng, size: int, horizon: float) -> Array:
    picture = meadow(rng, size, horizon)
    if rng.random() < 0.6:  # a town
        x = -10.0
        while x < size:
            w, h = rng.uniform(0.1, 0.28) * size, rng.uniform(0.1, 0.6) * size
            wall = tint(rng, pick(rng, WALLS), 14)
            _box(picture, x, horizon - h, w, size, wall)
            for y in np.arange(horizon - h + 8, horizon - 12, 18):
                for window in np.arange(x + 6, x + w - 8, 15):
                    _box(picture, window, y, 7, 10, wall * rng.uniform(0.35, 0.8))
            x += w
        _ground(rng, picture, horizon, (120, 124, 126), (170, 174, 176))
    middle, span = rng.uniform(0.2, 0.8) * size, rng.uniform(0.5, 1.6) * size
    tarmac, asphalt = np.zeros((size, size), np.float32), picture.copy()
    edges = [(middle - 6, horizon), (middle + 6, horizon), (middle + span, size), (middle - span, size)]
    cv2.fillConvexPoly(tarmac, np.array(edges, np.int32), (1.0,), cv2.LINE_AA)
    _ground(rng, asphalt, horizon, (76, 74, 74), (124, 122, 120))
    _over(picture, tarmac, asphalt)
    return picture


def forest(rng: Rng, size: int, horizon: float) -> Array:
    picture = _ramp(tint(rng, (60, 90, 70)), tint(rng, (110, 150, 140)), size)
    _over(picture, noise(rng, size, size, 12, 4), tint(rng, (30, 56, 40)))
    _ground(rng, picture, horizon, (34, 50, 62), (110, 140, 150))
    for x, near in sorted(rng.uniform([0, 0.2], [size, 1], (rng.integers(5, 12), 2)), key=lambda tree: tree[1]):
        trunk, w = tint(rng, (50, 66, 84), 14), near * 0.075 * size
        for stripe in range(5):
            _box(picture, x + w * stripe / 5, -1, w / 5, horizon + near * 0.2 * size, trunk * (1.25 - 0.17 * stripe))
    return picture


def room(rng: Rng, size: int, horizon: float) -> Array:
    wall = tint(rng, pick(rng, CLOTH), 20) * 0.5 + rng.uniform(50, 110)
    picture, line = _ramp(wall * 1.08, wall * 0.86, size), horizon + rng.uniform(0.25, 0.4) * size
    _ground(rng, picture, line, *pick(rng, FLOORS))
    _box(picture, -9, line - 6, size + 20, 6, vec(228, 230, 232))
    for _ in range(rng.integers(1, 5)):  # pictures, windows
        x, y, w, h = rng.uniform([0, 0.02, 0.12, 0.1], [0.85, 0.3, 0.35, 0.4]) * size
        h = min(h, line - 8 - y)
        _box(picture, x, y, w, h, tint(rng, pick(rng, CLOTH), 10))
        _box(picture, x, y, w, h, tint(rng, (120, 150, 180), 50), 4)
    for _ in range(rng.integers(0, 3)):  # furniture
        x, w, h = rng.uniform([-0.1, 0.2, 0.15], [0.9, 0.45, 0.4]) * size
        stuff = tint(rng, pick(rng, CLOTH), 10)
        _box(picture, x, line + 0.06 * size - h, w, h, stuff)
        _box(picture, x, line - 0.4 * h, w, 0.4 * h + 0.09 * size, 0.82 * stuff)
    return picture


def plain(rng: Rng, size: int, horizon: float) -> Array:
    """A light studio wall of nearly one colour."""
    wall = np.minimum(rng.uniform(226, 252) + rng.normal(0, 2.5, 3), 255).astype(np.float32)
    return _ramp(wall, wall * rng.uniform(0.95, 1), size)


FIGURES: dict[str, Callable[[Rng], Figure]] = {"horses": horse, "humans": human}
SCENES: dict[str, list[Callable[[Rng, int, float], Array]]] = {
    "train": [meadow, meadow, beach, road, forest, room],
    "validation": [plain],
}

# ---------------------------------------------------------------------------------------------- pictures


def draw(label: str, split: str, index: int, seed: int = 0, size: int = 300) -> Array:
    """One picture, (size, size, 3) uint8 BGR; it depends on the arguments alone, not on what was drawn before."""
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


def _paint(job: tuple[Path, str, str, int, int]) -> None:
    path, label, split, index, seed = job
    if not cv2.imwrite(str(path), draw(label, split, index, seed), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]):
        raise OSError(f"could not write {path}")


def write_sample(folder: str | os.PathLike[str], train: int = 200, validation: int = 60, seed: int = 0,
                 progress: bool = True) -> Path:  # fmt: skip
    """Write FOLDER/{train,validation}/{horses,humans}/horse-0000.jpg and so on: so many pictures a class.

    The folder comes whole or not at all. One that is whole already and was made with the same numbers is given back
    at once, one made with others is replaced, and one that holds anything else is refused.
    """
    folder = Path(folder)
    counts = {"train": train, "validation": validation}
    if min(train, validation) < 1 or seed < 0:
        raise UserError(f"sample of {train} + {validation} pictures, seed {seed}: expected 1 or more, seed 0 or more")
    stamp = {"version": VERSION, **counts, "seed": seed}
    if folder.exists():
        if _stamp(folder) == stamp and all(len(_pictures(folder, s, x)) == counts[s] for s in SPLITS for x in LABELS):
            return folder
        if not folder.is_dir() or (any(folder.iterdir()) and _stamp(folder) is None):
            raise UserError(f"{folder}: expected an earlier sample or nothing here, found other things; not replaced")
    part = folder.with_name(f".{folder.name}-{os.getpid()}")
    try:
        jobs = []
        for split, count in counts.items():
            for label in LABELS:
                (part / split / label).mkdir(parents=True)
                names = [part / split / label / f"{label[:-1]}-{index:04d}.jpg" for index in range(count)]
                jobs += [(name, label, split, index, seed) for index, name in enumerate(names)]
        # Spawned, because a fork after TensorFlow has started its threads may hang
        workers = min(os.cpu_count() or 1, 8, 1 + len(jobs) // 20)
        with ProcessPoolExecutor(workers, get_context("spawn"), cv2.setNumThreads, (1,)) as pool:
            done = pool.map(_paint, jobs, chunksize=4)
            for _ in tqdm(done, "drawing", len(jobs), unit="picture", disable=not progress):
                pass
        (part / STAMP).write_text(json.dumps(stamp) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _stamp(folder: Path) -> Any:
    """What the folder says it was made with, None if it says nothing."""
    try:
        return json.loads((folder / STAMP).read_text())
    except (OSError, ValueError):
        return None


def _pictures(folder: Path, split: str, label: str) -> list[Path]:
    return sorted((folder / split / label).glob("*.jpg"))


def contact_sheet(folder: Path, across: int = 12, cell: int = 120) -> Path:
    """A look at the sample, FOLDER/contact-sheet.png: two rows of pictures a class and split."""
    rows = []
    for split in SPLITS:
        for label in LABELS:
            pictures = _pictures(folder, split, label)[: 2 * across]
            small = [cv2.resize(cv2.imread(str(path)), (cell, cell), interpolation=cv2.INTER_AREA) for path in pictures]
            small += [np.full((cell, cell, 3), 255, np.uint8)] * (-len(small) % across)
            rows += [np.hstack(small[at : at + across]) for at in range(0, len(small), across)]
    with whole(folder / "contact-sheet.png") as part:
        cv2.imwrite(str(part), np.vstack(rows))
    return folder / "contact-sheet.png"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.sample", description="Write a drawn data set of horses and humans."
    )
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--train", type=int, default=200, metavar="N", help="training pictures a class (%(default)s)")
    parser.add_argument(
        "--validation", type=int, default=60, metavar="N", help="validation pictures a class (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other pictures (%(default)s)")
    chosen = parser.parse_args(arguments)
    try:
        folder = write_sample(chosen.folder, chosen.train, chosen.validation, chosen.seed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(contact_sheet(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
