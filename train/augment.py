"""Seeded views of a picture: turned, moved, sheared, zoomed, mirrored, and in other light.

The geometry and its limits are those of the classic recipe (`ImageDataGenerator` of Keras: rotation 40 degrees,
shifts 0.2, shear 0.2, zoom 0.2, mirrored, edges repeated). Light, colour and blur are what cameras add.

    python -m train … --augment 4                                    four views a picture, all of it
    python -m train … --augment 4 --augmentation flip=off light=0.4  no mirroring, more light and shadow
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np

from edge.errors import UserError
from edge.files import whole
from edge.model.contract import ModelSpec
from edge.model.preprocess import resize
from edge.pictures import read_picture
from train.dataset import Picture


@dataclass(frozen=True)
class Augmentation:
    """How far a view may be from its picture; 0 turns a kind off.

    Attributes:
        rotation: degrees, either way.
        shift: share of the height and of the width, either way.
        shear: degrees, either way. The recipe's 0.2 is as little as that, in Keras too.
        zoom: height and width are scaled by 1 - zoom to 1 + zoom, each on its own.
        flip: how often it is mirrored left to right, 0 to 1.
        light: contrast changes by up to this share, and brightness by half of it.
        colour: saturation changes by up to this share, and the channels against each other by half of it.
        blur: up to this standard deviation of a Gaussian, in pixels of the model's input.
    """

    rotation: float = 40.0
    shift: float = 0.2
    shear: float = 0.2
    zoom: float = 0.2
    flip: float = 0.5
    light: float = 0.2
    colour: float = 0.2
    blur: float = 0.7

    def view(self, frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Draw a view of a frame: uint8 (height, width, 3) in BGR, as the frame."""

        def within(limit: float) -> float:
            return random.uniform(-limit, limit)

        height, width = frame.shape[:2]
        matrix = affine(
            (height, width),
            rotation=within(self.rotation),
            shift=(within(self.shift) * width, within(self.shift) * height),
            shear=within(self.shear),
            zoom=(1 + within(self.zoom), 1 + within(self.zoom)),
        )
        if random.random() < self.flip:
            frame = frame[:, ::-1]
        frame = cv2.warpAffine(
            np.ascontiguousarray(frame),
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        frame = cv2.transform(frame, self._colours(frame, random))
        sigma = random.uniform(0, self.blur)
        return cv2.GaussianBlur(frame, (0, 0), sigma) if sigma > 0.2 else frame

    def _colours(self, frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Saturation, channel gains, contrast and brightness in one matrix, float64 (3, 4)."""
        saturation = 1 + random.uniform(-self.colour, self.colour)
        gains = 1 + random.uniform(-self.colour, self.colour, 3) / 2
        contrast = 1 + random.uniform(-self.light, self.light)
        brightness = 255 * random.uniform(-self.light, self.light) / 2
        grey = np.array([0.114, 0.587, 0.299])  # of BGR (ITU-R BT.601)
        colours = saturation * np.eye(3) + (1 - saturation) * grey
        middle = frame.mean()
        return np.hstack([contrast * gains[:, None] * colours, np.full((3, 1), middle * (1 - contrast) + brightness)])


def affine(
    size: tuple[int, int], rotation: float, shift: tuple[float, float], shear: float, zoom: tuple[float, float]
) -> np.ndarray:
    """From places (x, y, 1) of the view to places of the picture, float64 (2, 3), composed as Keras composes it.

    Args:
        size: height and width.
        rotation, shear: degrees.
        shift: right and down, in pixels.
        zoom: of the width and the height.
    """
    turn, slant = math.radians(rotation), math.radians(shear)
    # In x and y around the middle: rotate, shift, shear, zoom.
    matrix = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
    matrix = matrix @ np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
    matrix = matrix @ np.array([[1, -math.sin(slant), 0], [0, math.cos(slant), 0], [0, 0, 1]])
    matrix = matrix @ np.diag([zoom[0], zoom[1], 1])
    middle = np.eye(3)
    middle[:2, 2] = (size[1] - 1) / 2, (size[0] - 1) / 2
    return (middle @ matrix @ np.linalg.inv(middle))[:2]


def parse_augmentation(words: Sequence[str]) -> Augmentation:
    """`["rotation=10", "flip=off"]` to an `Augmentation`; what is not named keeps its default.

    Raises:
        UserError: for a kind that is not known or a value that is neither `off` nor a number from 0 up.
    """
    names = [field.name for field in fields(Augmentation)]
    values = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in names:
            raise UserError(f"--augmentation: expected NAME=VALUE, NAME one of {', '.join(names)}; found {word!r}")
        try:
            values[name] = 0.0 if text == "off" else float(text)
        except ValueError:
            values[name] = math.nan
        most = {"rotation": 180, "shear": 80, "blur": 20}.get(name, 0.95 if name != "flip" else 1)
        if not 0 <= values[name] <= most:
            raise UserError(f"--augmentation {name}: expected off or a number from 0 to {most}, found {text!r}")
    return replace(Augmentation(), **values)


@dataclass(frozen=True, slots=True)
class View(Picture):
    """A picture as `augmentation` shows it: the same one whenever it is read. The digest tells it from all others."""

    augmentation: Augmentation = Augmentation()

    def frame(self, spec: ModelSpec) -> np.ndarray:
        """The view, BGR uint8 (*spec.size, 3): resized as on the device, then augmented."""
        frame = resize(read_picture(self.path), spec.size, spec.resize)
        return self.augmentation.view(frame, np.random.default_rng(int(self.digest[:32], 16)))


def views(pictures: Sequence[Picture], augmentation: Augmentation, numbers: Sequence[int]) -> list[View]:
    """Of each picture the views with these numbers, picture by picture."""
    return [
        View(picture.path, picture.label, _digest(picture, augmentation, number), picture.group, augmentation)
        for picture in pictures
        for number in numbers
    ]


def _digest(picture: Picture, augmentation: Augmentation, number: int) -> str:
    return hashlib.sha256(f"{picture.digest} {augmentation} {number}".encode()).hexdigest()


def write_contact_sheet(path: Path, pictures: Sequence[Picture], spec: ModelSpec, augmentation: Augmentation) -> None:
    """A PNG of up to six pictures, spread over the labels, a row each: as it is, then seven views."""
    places = np.linspace(0, len(pictures) - 1, min(6, len(pictures))).astype(int)
    rows = []
    for place in places:
        picture = pictures[place]
        frames = [resize(read_picture(picture.path), spec.size, spec.resize)]
        frames += [view.frame(spec) for view in views([picture], augmentation, range(7))]
        rows.append(np.hstack([np.pad(frame, ((2, 2), (2, 2), (0, 0)), constant_values=255) for frame in frames]))
    with whole(path) as part:
        part.write_bytes(cv2.imencode(".png", np.vstack(rows))[1].tobytes())
