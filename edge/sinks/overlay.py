"""Draws a result on a frame."""

import unicodedata

import cv2
import numpy as np

from edge.model.classifier import Result

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BAND, _BAR, _TEXT = (32, 26, 22), (235, 160, 60), (255, 255, 255)  # BGR


def annotate(image: np.ndarray, result: Result, note: str = "") -> np.ndarray:
    """A copy of a BGR uint8 frame (height, width, 3) with the best labels below, as bars, and a note at the right."""
    image = image.copy()
    height, width = image.shape[:2]
    scale = max(0.35, min(width, height) / 800)
    line = round(34 * scale)
    rows = result.top[: max(1, min(3, height // (3 * line)))]
    top = height - line * len(rows)
    band = image[top:]
    cv2.addWeighted(band, 0.3, np.full_like(band, _BAND), 0.7, 0, band)
    for number, (label, score) in enumerate(rows):
        y = top + number * line
        cv2.rectangle(image, (0, y + 2), (round(width * score), y + line - 3), _BAR, cv2.FILLED)
        text = f"{_plain(label)} {score:.0%}"
        origin, thickness = (round(8 * scale), y + round(25 * scale)), max(1, round(2 * scale))
        cv2.putText(image, text, origin, _FONT, 0.8 * scale, _TEXT, thickness, cv2.LINE_AA)
    if note:
        size = cv2.getTextSize(note, _FONT, 0.6 * scale, 1)[0][0]
        origin = width - size - round(8 * scale), height - round(9 * scale)
        cv2.putText(image, note, origin, _FONT, 0.6 * scale, _TEXT, 1, cv2.LINE_AA)
    return image


def caption(image: np.ndarray, text: str) -> np.ndarray:
    """A copy of a BGR uint8 frame (height, width, 3) with a line of text below."""
    image = image.copy()
    scale = max(0.35, min(image.shape[:2]) / 800)
    band = image[-round(34 * scale) :]
    cv2.addWeighted(band, 0.3, np.full_like(band, _BAND), 0.7, 0, band)
    origin = round(8 * scale), image.shape[0] - round(9 * scale)
    cv2.putText(image, _plain(text), origin, _FONT, 0.7 * scale, _TEXT, max(1, round(2 * scale)), cv2.LINE_AA)
    return image


def _plain(label: str) -> str:
    """OpenCV's fonts know ASCII only: leave the accents off rather than draw question marks."""
    return unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode() or "?"


def contact_sheet(images: list[np.ndarray], columns: int = 8, side: int = 160) -> np.ndarray:
    """BGR uint8 frames of any size side by side, each padded to a square of `side` pixels, on white."""
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (side + 4) + 4, min(columns, len(images)) * (side + 4) + 4, 3), 255, np.uint8)
    for number, image in enumerate(images):
        y, x = (4 + place * (side + 4) for place in divmod(number, columns))
        scale = side / max(image.shape[:2])
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        y, x = y + (side - size[1]) // 2, x + (side - size[0]) // 2
        sheet[y : y + size[1], x : x + size[0]] = small
    return sheet
