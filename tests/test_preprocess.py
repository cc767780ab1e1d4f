"""The one way from a frame to a tensor, against the definition in float arithmetic and against other libraries."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge.model.contract import ModelSpec
from edge.model.preprocess import FLOAT32, TensorType, lookup_table, prepare, resize

LITE = {"mean": (127.0, 127.0, 127.0), "std": (128.0, 128.0, 128.0)}
LITE_INPUT = TensorType("uint8", 1 / 128, 127)


def spec(size: tuple[int, int] = (8, 8), **values: object) -> ModelSpec:
    return ModelSpec(labels=("a", "b"), size=size, **values)  # type: ignore[arg-type]


def test_quantized_input_that_is_the_normalization_takes_the_pixels_themselves() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    tensor = prepare(frame, spec(**LITE), LITE_INPUT)
    assert tensor.dtype == np.uint8
    assert np.array_equal(tensor[0], frame[:, :, ::-1])
    assert lookup_table(LITE["mean"], LITE["std"], LITE_INPUT) is None  # no arithmetic at all
    real = (tensor.astype(np.float64) - 127) / 128
    assert np.allclose(real, prepare(frame, spec(**LITE)), atol=1e-7)


def test_channels_arrive_as_rgb() -> None:
    blue = np.zeros((4, 4, 3), np.uint8)
    blue[:, :, 0] = 255  # OpenCV's first channel
    assert prepare(blue, spec((4, 4)))[0, 0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((127.0,) * 3, (128.0,) * 3),  # EfficientNet-Lite
        ((127.5,) * 3, (127.5,) * 3),  # to [-1, 1]
        ((0.0,) * 3, (255.0,) * 3),  # to [0, 1]
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),  # ImageNet, each channel its own
    ],
)
def test_float_tensor_is_the_definition(mean: tuple, std: tuple) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    expected = (frame[:, :, ::-1].astype(np.float64) - mean) / std
    assert np.allclose(prepare(frame, spec(mean=mean, std=std))[0], expected, atol=1e-6)


@given(
    mean=st.floats(0, 255, width=32),
    std=st.floats(1, 255, width=32),
    low=st.floats(-3, 0, width=32),
    high=st.floats(0.5, 3, width=32),
    dtype=st.sampled_from(["int8", "uint8"]),
)
@settings(max_examples=200, deadline=None)
def test_table_is_the_nearest_level_of_the_definition(
    mean: float, std: float, low: float, high: float, dtype: str
) -> None:
    scale = (high - low) / 255
    limits = np.iinfo(dtype)
    zero_point = int(np.clip(round(limits.min - low / scale), limits.min, limits.max))
    table = lookup_table((mean,) * 3, (std,) * 3, TensorType(dtype, scale, zero_point))
    pixels = np.arange(256)
    values = pixels if table is None else table[0, :, 0].astype(int)
    exact = ((pixels - mean) / std) / scale + zero_point
    assert np.all(np.abs(values - np.clip(exact, limits.min, limits.max)) <= 0.5001)


@pytest.mark.parametrize(
    ("shape", "mode", "expected"),
    [
        ((40, 80, 3), "crop", lambda frame: frame[:, 20:60]),  # wide: the middle columns
        ((80, 40, 3), "crop", lambda frame: frame[20:60]),  # tall: the middle rows
        ((40, 40, 3), "crop", lambda frame: frame),  # square: all of it
    ],
)
def test_crop_takes_the_middle(shape: tuple, mode: str, expected: object) -> None:
    frame = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    assert np.array_equal(resize(frame, (40, 40), mode), expected(frame))  # type: ignore[operator]


def test_pad_keeps_the_shape_of_things() -> None:
    frame = np.full((20, 40, 3), 200, np.uint8)
    padded = resize(frame, (40, 40), "pad")
    assert padded[:10].max() == padded[30:].max() == 0
    assert padded[10:30].min() == 200


def test_shrinking_averages_and_does_not_pick() -> None:
    """A checkerboard of single pixels must become grey: nearest or plain bilinear would keep stripes."""
    board = np.indices((512, 512)).sum(axis=0) % 2 * 255
    frame = np.repeat(board[:, :, np.newaxis], 3, axis=2).astype(np.uint8)
    assert np.abs(resize(frame, (64, 64), "stretch").astype(int) - 127.5).max() <= 1


@pytest.mark.parametrize("shape", [(480, 640, 3), (1080, 1920, 3), (300, 300, 3), (3000, 4000, 3)])
def test_shrinking_agrees_with_pillow(shape: tuple) -> None:
    """Against Pillow's antialiased bilinear filter on a smooth picture with some texture."""
    random = np.random.default_rng(3)
    frame = cv2.resize(random.integers(0, 256, (60, 60, 3), np.uint8), shape[1::-1], interpolation=cv2.INTER_CUBIC)
    other = np.asarray(Image.fromarray(frame).resize((224, 224), Image.Resampling.BILINEAR))
    assert np.abs(resize(frame, (224, 224), "stretch").astype(int) - other).mean() < 4


@pytest.mark.parametrize("shape", [(128, 192), (129, 193), (131, 200), (255, 259)])
def test_halves_are_means_of_two_by_two(shape: tuple) -> None:
    """A last row or column that has no other half is left out."""
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    height, width = shape[0] // 2, shape[1] // 2
    means = frame[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize(frame, (height, width), "stretch") - means).max() <= 0.5


@given(height=st.integers(1, 400), width=st.integers(1, 400), mode=st.sampled_from(["stretch", "crop", "pad"]))
@settings(max_examples=100, deadline=None)
def test_any_frame_gives_the_tensor_of_the_contract(height: int, width: int, mode: str) -> None:
    frame = np.zeros((height, width, 3), np.uint8)
    tensor = prepare(frame, spec((48, 64), resize=mode))
    assert tensor.shape == (1, 48, 64, 3)
    assert tensor.dtype == np.float32


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),  # grey
        np.zeros((4, 4, 4), np.uint8),  # with alpha
        np.zeros((4, 4, 3), np.float32),  # normalized already
        np.zeros((0, 4, 3), np.uint8),  # empty
    ],
)
def test_what_is_no_frame_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a BGR uint8 frame"):
        prepare(frame, spec(), FLOAT32)
