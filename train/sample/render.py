"""Lights a figure, puts it into a picture and lets it throw a shadow."""

import cv2
import numpy as np

from train.sample.camera import Camera, Light
from train.sample.chance import Rng, noise
from train.sample.clay import Figure
from train.sample.melt import melt
from train.sample.patterns import TEXELS, TILE
from train.sample.space import Array, unit, vec

FINE, COARSE = 3, 2  # pixels of the figure and of the picture in the same length


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
