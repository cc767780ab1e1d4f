"""Melts a figure's ellipsoids into one surface, as a camera sees it."""

import numpy as np

from train.sample.camera import Camera
from train.sample.clay import Figure
from train.sample.space import Array

SMALL = 32  # pixels: balls up to here are rendered many at a time


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
