"""A model that is right, under a contract that is wrong: the sentence names what was wrong, and is silent else."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from convert.usual import USUAL, Usual, remedy
from edge.model.contract import ModelSpec
from train.dataset import Picture

# Labels and their colours in BGR. None is told apart by one channel alone, so that BGR for RGB shows.
COLOURS = {"blue": (190, 60, 40), "cyan": (180, 170, 30), "green": (50, 180, 60), "red": (40, 50, 200)}
SPEC = ModelSpec(tuple(COLOURS), (8, 8))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    folder = tmp_path_factory.mktemp("usual")
    found = []
    for label, colour in enumerate(COLOURS.values()):
        for number in range(16):
            noise = np.random.default_rng([number, label]).normal(0, 12, (12, 12, 3))
            path = folder / f"{label}-{number}.png"
            cv2.imwrite(str(path), np.clip(noise + colour, 0, 255).astype(np.uint8))
            found.append(Picture(path, label, ""))
    return found


def model(usual: Usual, order: list[int]):
    """Answers by the nearest colour, for tensors normalized as it was trained; outputs in its own order of labels."""
    centres = np.array([colour[::-1] for colour in COLOURS.values()], np.float64)  # RGB

    def answer(tensor: np.ndarray) -> np.ndarray:
        assert tensor.dtype == np.float32
        assert tensor.shape[1:] == (8, 8, 3)
        mean = tensor.mean(axis=(1, 2))[:, :: -1 if usual.bgr else 1] * usual.std + usual.mean
        near = -((mean[:, None] - centres) ** 2).sum(axis=2)
        return near[:, order]

    return answer


AS_GIVEN = list(range(4))


@pytest.mark.parametrize("usual", USUAL, ids=str)
@pytest.mark.parametrize("wrong", USUAL, ids=str)
def test_the_normalization_is_named(usual: Usual, wrong: Usual, pictures: list[Picture]) -> None:
    told = remedy(model(usual, AS_GIVEN), pictures, replace(SPEC, mean=wrong.mean, std=wrong.std))
    if (usual.mean, usual.std) == (wrong.mean, wrong.std) and not usual.bgr:
        assert told is None
    elif told is None:  # close enough to be right all the same, as 0 to 1 for a mean of the same range
        answer = model(usual, AS_GIVEN)
        pixels = np.stack([cv2.resize(cv2.imread(str(p.path)), (8, 8))[:, :, ::-1] for p in pictures])
        best = answer(((pixels - wrong.mean) / wrong.std).astype(np.float32)).argmax(axis=1)
        assert (best == [p.label for p in pictures]).mean() > 0.7
    else:
        assert str(usual) in told
        assert ("BGR" in told) == usual.bgr


@pytest.mark.parametrize("order", [[2, 0, 3, 1], [1, 0, 3, 2], [3, 2, 1, 0]])
def test_the_order_of_the_labels_is_named(order: list[int], pictures: list[Picture]) -> None:
    """Output i of the model means label order[i]; by its contract it means label i."""
    spec = replace(SPEC, mean=USUAL[2].mean, std=USUAL[2].std)
    told = remedy(model(USUAL[2], order), pictures, spec)
    assert told
    assert "mean" not in told
    assert ", ".join(SPEC.labels[label] for label in order) in told
    assert "sorted" not in told


def test_sorted_labels_are_called_so(pictures: list[Picture]) -> None:
    """A contract with shuffled names; the model has them as Keras does, sorted."""
    names = ("red", "blue", "green", "cyan")
    moved = [Picture(p.path, names.index(SPEC.labels[p.label]), "") for p in pictures]
    told = remedy(model(USUAL[0], AS_GIVEN), moved, replace(SPEC, labels=names))
    assert told
    assert "with the labels sorted: blue, cyan, green, red, it would be right on 100% of" in told


def test_both_wrong_at_once_are_named_together(pictures: list[Picture]) -> None:
    """Raw pixels where 0 to 1 are meant, and two labels the other way round."""
    told = remedy(model(USUAL[1], [1, 0, 3, 2]), pictures, SPEC)
    assert told
    assert "with mean 0 and std 255 (0 to 1)" in told
    assert ", and with the labels in this order: cyan, blue, red, green, it would be right on" in told


def test_noise_is_not_explained(pictures: list[Picture]) -> None:
    for seed in range(20):
        dice = np.random.default_rng(seed)
        assert remedy(lambda tensor, dice=dice: dice.random((len(tensor), 4)), pictures, SPEC) is None


@pytest.mark.parametrize(("output", "cut"), [("probabilities", 0.5), ("logits", 0.0)])
def test_one_output_of_two_labels(output: str, cut: float, pictures: list[Picture]) -> None:
    """Red against blue by one number; -1 to 1 is right, and the contract says raw pixels."""
    two = [Picture(p.path, int(p.label == 3), "") for p in pictures if p.label in (0, 3)]
    spec = ModelSpec(("blue", "red"), (8, 8), output=output)

    def answer(tensor: np.ndarray) -> np.ndarray:
        assert np.abs(tensor).max() >= 0
        outside = np.abs(tensor).max() > 1.01 or tensor.min() >= 0
        red = (tensor[..., 0] - tensor[..., 2]).mean(axis=(1, 2)) / 4
        return (np.zeros_like(red) if outside else red + cut)[:, None]

    told = remedy(answer, two, spec)
    assert told
    assert "mean 127.5 and std 127.5 (-1 to 1)" in told
