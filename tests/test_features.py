"""Frozen features: the same as Keras gives, computed once, never stale, never half-written."""

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.model.contract import ModelSpec
from edge.model.preprocess import prepare
from train.dataset import Dataset, load_dataset
from train.features import Features, _in_keras, _in_lite, extract, keras_engine
from train.keras import keras, layers
from train.source import FeatureSource


@pytest.fixture(scope="module")
def extractor() -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, 2, "same", activation="relu")(image)
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    random = np.random.default_rng(0)
    for label in ("a", "b"):
        for number in range(6):
            path = tmp_path / "photos" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), random.integers(0, 256, (40, 40, 3), np.uint8))
    return load_dataset(tmp_path / "photos")


SPEC = ModelSpec(("a", "b"), (32, 32), mean=(127.5,) * 3, std=(127.5,) * 3)


def by_keras(extractor: keras.Model, data: Dataset) -> np.ndarray:
    tensors = [prepare(cv2.imread(str(picture.path)), SPEC) for picture in data.train]
    return extractor.predict(np.concatenate(tensors), verbose=0)


def test_features_equal_those_of_keras(extractor: keras.Model, data: Dataset, tmp_path: Path) -> None:
    features = extract(keras_engine(extractor, SPEC), data.train, tmp_path / "cache")
    assert features.computed == len(data.train)
    assert np.allclose(features[:], by_keras(extractor, data), atol=1e-5)


def test_a_second_call_computes_nothing(extractor: keras.Model, data: Dataset, tmp_path: Path) -> None:
    first = extract(keras_engine(extractor, SPEC), data.train, tmp_path / "cache")[:]
    again = extract(keras_engine(extractor, SPEC), data.train, tmp_path / "cache")
    assert again.computed == 0
    assert np.array_equal(again[:], first)


def test_only_a_changed_picture_is_computed_anew(extractor: keras.Model, data: Dataset, tmp_path: Path) -> None:
    extract(keras_engine(extractor, SPEC), data.train, tmp_path / "cache")
    path = data.train[0].path
    cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    changed = load_dataset(data.root)
    features = extract(keras_engine(extractor, SPEC), changed.train, tmp_path / "cache")
    assert features.computed == 1 or path not in [picture.path for picture in changed.train]
    assert np.allclose(features[:], by_keras(extractor, changed), atol=1e-5)


def test_other_weights_and_other_preprocessing_are_other_features(
    extractor: keras.Model, data: Dataset, tmp_path: Path
) -> None:
    from dataclasses import replace

    extract(keras_engine(extractor, SPEC), data.train, tmp_path / "cache")
    assert extract(keras_engine(extractor, replace(SPEC, resize="crop")), data.train, tmp_path / "cache").computed
    other = keras.models.clone_model(extractor)
    assert extract(keras_engine(other, SPEC), data.train, tmp_path / "cache").computed


def scribble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("file", ["rows", "keys"])
@pytest.mark.parametrize("damage", [scribble, cut, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_cache_is_rebuilt(
    file: str, damage: object, extractor: keras.Model, data: Dataset, tmp_path: Path
) -> None:
    extract(keras_engine(extractor, SPEC), data.train, tmp_path / "cache")
    damage(next((tmp_path / "cache").rglob(file)))  # type: ignore[operator]
    features = extract(keras_engine(extractor, SPEC), data.train, tmp_path / "cache")
    assert features.computed > 0
    assert np.allclose(features[:], by_keras(extractor, data), atol=1e-5)
    assert extract(keras_engine(extractor, SPEC), data.train, tmp_path / "cache").computed == 0


@pytest.mark.parametrize("compute", [_in_lite, _in_keras])
def test_both_ways_to_compute_give_what_keras_gives(compute: Callable, extractor: keras.Model, data: Dataset) -> None:
    found = list(compute(extractor, SPEC, data.train))
    assert [picture for batch, _ in found for picture in batch] == data.train
    assert np.allclose(np.concatenate([values for _, values in found]), by_keras(extractor, data), atol=1e-5)


def test_features_on_disk_take_no_memory(tmp_path: Path) -> None:
    """Of 200 MB that are read in batches, no more than a few count as the process's own."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("no /proc here")

    def mapped() -> int:
        found = re.search(r"RssFile:\s+(\d+) kB", status.read_text())
        assert found
        return int(found[1])

    count = 50_000
    np.arange(count, dtype=np.float32).repeat(1000).tofile(tmp_path / "rows")
    matrix = np.memmap(tmp_path / "rows", np.float32, "r", shape=(count, 1000))
    source = FeatureSource(Features(matrix, np.arange(count)[:, None]), np.zeros(count, np.int64))
    before = mapped()
    for start in range(0, count, 100):
        index = np.arange(start, start + 100)
        assert (source.load(index, None)[:, 7] == index).all()
    assert mapped() - before < 20_000
