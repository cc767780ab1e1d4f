"""Places for a figure to be in: meadow, beach, road, forest, room, or before a plain wall."""

from collections.abc import Sequence

import cv2
import numpy as np

from train.sample.chance import Rng, noise, pick
from train.sample.colours import CLOTH, tint
from train.sample.space import Array, vec


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
