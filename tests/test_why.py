"""Why a label: maps whose mean is the difference of two logits, drawn where the model saw it."""

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import colour_picture, run_here

from edge import Classifier, UserError
from edge.model.contract import ModelSpec, append_files, read_model
from edge.model.why import best_two, find_depths, overlay
from train.heat import heat_of_file, heat_of_model
from train.keras import keras, layers
from train.model import build_classifier
from train.rundir import read_run


@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_the_mean_of_all_places_is_the_difference_of_the_logits(colour_run: Path, scheme: str) -> None:
    """The exactness that is claimed: within the rounding of float32, and of int8 within its steps."""
    with Classifier(colour_run / "export" / f"{scheme}.tflite", why=True) as classifier:
        assert len(classifier.depths) == len(classifier.spec.features) > 1
        for number, label in enumerate(("blue", "red", "blue")):
            scores = classifier.classify(colour_picture(label, 77 + number)).scores
            heat = classifier.heat(*best_two(scores))
            assert heat.mean() == pytest.approx(
                np.log(scores.max() / scores.min()), abs=1e-3 if scheme == "float32" else 0.25
            )
            assert np.allclose(classifier.heat(0, 1), -classifier.heat(1, 0), atol=1e-4)


def test_a_page_shows_the_same_of_the_keras_model_and_of_its_file(colour_run: Path, tmp_path: Path) -> None:
    """Two ways to the maps: Keras's layers, and the tensors of the float graph. JPEG rounds both."""
    paths = [tmp_path / f"{label}.png" for label in ("blue", "red")]
    for path in paths:
        cv2.imwrite(str(path), colour_picture(path.stem, 77))
    mistakes = [(path, said, 1 - said) for said, path in enumerate(paths)]
    run = read_run(colour_run)
    model = keras.models.load_model(colour_run / "model.keras", compile=False)
    of_keras = heat_of_model(model, run.spec, [*mistakes, (tmp_path / "gone.png", 0, 1)])
    of_file = heat_of_file(colour_run / "export" / "float32.tflite", mistakes)
    assert list(of_keras) == list(of_file) == paths
    for path in paths:
        shown, other, turned = (
            cv2.imdecode(np.frombuffer(base64.b64decode(data.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
            for data in (of_keras[path], of_file[path], heat_of_model(model, run.spec, [(path, 0, 1)])[path])
        )
        assert np.abs(shown.astype(int) - other).mean() < 1
        assert (np.abs(shown.astype(int) - turned).mean() > 10) == (path.stem == "red")  # the other way round: cold


def test_a_flattened_map_has_no_heat() -> None:
    spec = ModelSpec(("a", "b"), (8, 8), mean=(0, 0, 0), std=(1, 1, 1))
    for more in ({"head": "flatten"}, {"dense": [4]}):
        backbone = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
        assert heat_of_model(build_classifier(backbone, 2, **more), spec, [(Path("x.png"), 0, 1)]) == {}


def test_the_top_of_the_backbone_is_the_last_depth(colour_run: Path) -> None:
    """Likeness and `feature_map` go by it; the converter pools the top first."""
    for scheme in ("float32", "int8"):
        with Classifier(colour_run / "export" / f"{scheme}.tflite", why=True) as classifier:
            widths = [classifier.interpreter.read(name).size for name in classifier.spec.features]
            top = max(classifier.depths, key=lambda depth: len(depth.kernel))
            assert widths == sorted(widths)
            assert widths[-1] == 1280
            assert classifier.spec.feature_map == top.place


def test_the_disc_is_what_speaks(colour_run: Path) -> None:
    """A red disc left and grey right: the left half says red, by more than the right one."""
    frame = np.full((96, 192, 3), 120, np.uint8)
    cv2.circle(frame, (48, 48), 30, (20, 40, 230), cv2.FILLED)
    with Classifier(colour_run / "export" / "float32.tflite", why=True) as classifier:
        for image, side in ((frame, slice(0, 3)), (frame[:, ::-1].copy(), slice(3, 6))):
            classifier.classify(image)
            heat = cv2.resize(classifier.heat(1, 0), (6, 6), interpolation=cv2.INTER_AREA)
            assert heat[:, side].mean() > heat.mean()


def test_each_place_is_what_the_kernel_makes_of_it_by_hand(tiny_model: Path) -> None:
    """The map is the picture itself there: four times red less blue, place by place."""
    frame = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    with Classifier(tiny_model, why=True) as classifier:
        classifier.classify(frame)
        heat = classifier.heat(1, 0)
    assert np.allclose(heat, 4 * (frame[..., 2].astype(float) - frame[..., 0]) / 255, atol=1e-4)


@pytest.mark.parametrize(
    ("mode", "box"),
    [
        ("stretch", (0, 0, 200, 100)),
        ("crop", (50, 0, 100, 100)),  # the middle alone was seen
        ("pad", (0, 0, 200, 100)),  # the borders were seen too, but are not there to be drawn on
    ],
)
def test_it_is_drawn_where_the_model_saw_it(mode: str, box: tuple[int, int, int, int]) -> None:
    heat = np.array([[1.0, -1.0], [1.0, -1.0]], np.float32)
    drawn = overlay(np.full((100, 200, 3), 128, np.uint8), heat, ModelSpec(("a", "b"), (64, 64), resize=mode)).astype(
        int
    )
    left, top, width, height = box
    assert (drawn[50, left + 2, 2], drawn[50, left + 2, 0]) > (200, 0)  # red where it speaks for the label
    assert drawn[50, left + 2, 0] < 100
    assert drawn[50, left + width - 3, 0] > 180  # blue where for the other
    outside = np.ones(drawn.shape[:2], bool)
    outside[top : top + height, left : left + width] = False
    assert (drawn[outside] == 128).all()


def test_a_frame_of_one_pixel_can_be_drawn_on() -> None:
    for shape in ((1, 1, 3), (1, 500, 3), (300, 1, 3)):
        for mode in ("stretch", "crop", "pad"):
            spec = ModelSpec(("a", "b"), (64, 64), resize=mode)
            assert overlay(np.zeros(shape, np.uint8), np.ones((7, 7), np.float32), spec).shape == shape


def test_the_command_writes_a_picture_for_each_image(colour_model: Path, colours: Path, tmp_path: Path) -> None:
    images = sorted((colours / "validation").glob("*/000.png"))
    job = run_here("edge", "classify", colour_model, images[0], "--why", tmp_path / "one.jpg")
    assert job.returncode == 0, job.stderr
    assert cv2.imread(str(tmp_path / "one.jpg")).shape == cv2.imread(str(images[0])).shape
    assert run_here("edge", "classify", colour_model, *images, "--why", tmp_path / "many").returncode == 0
    assert [path.name for path in sorted((tmp_path / "many").iterdir())] == ["001-000.png", "002-000.png"]
    job = run_here("edge", "classify", colour_model, images[0], "--why", tmp_path / "out.doc")
    assert (job.returncode, job.stderr.count("\n")) == (2, 1)
    assert "out.png" in job.stderr
    assert not (tmp_path / "out.doc").exists()


def test_a_model_that_cannot_show_why_says_so(tiny_model: Path, colours: Path, tmp_path: Path) -> None:
    """Its head takes what is no mean of a map of its own: one line, and nothing is written."""
    file = read_model(tiny_model)
    assert file.spec is not None
    one = ModelSpec(("only",), file.spec.size, graph_sha256=file.spec.graph_sha256)
    path = tmp_path / "one.tflite"
    path.write_bytes(append_files(file.graph, one))
    with pytest.raises(UserError, match=r"one\.tflite.*one label"):
        Classifier(path, why=True)
    with pytest.raises(ValueError, match="hidden layers"):
        find_depths(file.graph, 5)
    for cut in range(8, len(file.graph), 97):  # a file that was cut off is no crash
        with pytest.raises(ValueError, match=r"\w"):
            find_depths(file.graph[:cut], 2)
