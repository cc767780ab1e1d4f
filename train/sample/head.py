"""A human's head: skull, face, hairdo, cap and beard."""

from collections.abc import Sequence

import numpy as np

from train.sample.chance import Rng, pick
from train.sample.clay import Clay, Part
from train.sample.colours import CLOTH, tint
from train.sample.space import Array, Frame, unit, vec

# fmt: off
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


def add_head(rng: Rng, clay: Clay, at: Frame, skin: Array, hair: Array, woman: bool) -> None:
    """Skull, face and hair of the given colours, at the middle of the head."""
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
