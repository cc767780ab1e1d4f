"""A figure's matter: ellipsoids strung along bones, some hundred to a figure.

In metres: x ahead, y up, z to its left, ground at y = 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from train.sample.space import Array, Frame, vec

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
