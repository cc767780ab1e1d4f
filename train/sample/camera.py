"""Where a picture is taken from, and in which light."""

from dataclasses import dataclass

import numpy as np

from train.sample.chance import Rng, pick
from train.sample.clay import Figure
from train.sample.space import Array, turn, unit, vec


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
