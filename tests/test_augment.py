"""Augmented views: the geometry is Keras's, a view is always the same view, and off means off."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import UserError
from edge.model.contract import ModelSpec
from train.augment import Augmentation, affine, parse_augmentation, views
from train.dataset import Picture
from train.keras import keras

OFF = Augmentation(0, 0, 0, 0, 0, 0, 0, 0)


def photo(height: int = 60, width: int = 80) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    turn=st.floats(-180, 180),
    right=st.floats(-20, 20),
    down=st.floats(-20, 20),
    shear=st.floats(-45, 45),
    zoom=st.tuples(st.floats(0.7, 1.4), st.floats(0.7, 1.4)),
)
def test_the_geometry_is_that_of_keras(
    turn: float, right: float, down: float, shear: float, zoom: tuple[float, float]
) -> None:
    frame = photo(64, 64)
    matrix = affine((64, 64), turn, (right, down), shear, zoom)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(frame, matrix, (64, 64), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    expected = keras.preprocessing.image.apply_affine_transform(
        frame.astype(np.float32), turn, right, down, shear, *zoom, 0, 1, 2, "nearest", order=1
    )
    # OpenCV interpolates in steps of 1/32 of a pixel.
    assert np.abs(found - expected).mean() < 0.5
    assert np.abs(found - expected).max() < 6


def test_off_changes_nothing() -> None:
    assert np.array_equal(OFF.view(photo(), np.random.default_rng(0)), photo())


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ([], {}),
        (["flip=off"], {"flip": 0.0}),
        (["rotation=10", "light=0.4"], {"rotation": 10.0, "light": 0.4}),
    ],
)
def test_words_change_what_they_name(words: list[str], changed: dict[str, float]) -> None:
    assert parse_augmentation(words) == Augmentation(**changed)


@pytest.mark.parametrize("word", ["turn=1", "rotation", "rotation=x", "zoom=1", "shift=-1", "flip=nan", "blur=1e9"])
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(UserError, match="--augmentation"):
        parse_augmentation([word])


def test_a_mirrored_view_is_the_mirrored_picture() -> None:
    always = Augmentation(0, 0, 0, 0, 1, 0, 0, 0)
    assert np.array_equal(always.view(photo(), np.random.default_rng(0)), photo()[:, ::-1])


def test_a_view_is_always_the_same_and_no_two_are(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), photo())
    picture = Picture(tmp_path / "a.png", 0, "ab" * 32)
    spec = ModelSpec(("x",), (48, 48))
    first, second = views([picture], Augmentation(), range(2)), views([picture], Augmentation(), range(2))
    assert first == second
    assert np.array_equal(first[0].frame(spec), second[0].frame(spec))
    assert not np.array_equal(first[0].frame(spec), first[1].frame(spec))
    assert first[0].frame(spec).shape == (48, 48, 3)
    others = views([picture], Augmentation(rotation=39), range(2))
    assert len({view.digest for view in [picture, *first, *others]}) == 5
