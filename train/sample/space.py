"""Points, directions and turns in metres: x ahead, y up, z to the left."""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


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


@dataclass
class Frame:
    """Where a part is: its origin, its axes (columns: ahead, up, left) and its size."""

    origin: Array
    axes: Array
    size: float = 1.0

    def __call__(self, *xyz: float) -> Array:
        return self.origin + self.size * self.axes @ np.array(xyz)
