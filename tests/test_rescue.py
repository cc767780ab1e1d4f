"""A model that quantizes badly on purpose: the gate fails int8, another scheme rescues it, and the page shows both."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Job, colour_picture, run_here

from convert import job as work
from convert.report import SHOWN
from convert.selective import quantize_selectively
from edge.errors import UserError
from edge.model.contract import ModelSpec, read_model
from train.dataset import Picture
from train.keras import keras, layers

SIDE = 32


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 + 220 pictures a class: enough to decide about three schemes at once."""
    root = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 20), ("validation", 220)):
        for label in ("blue", "red"):
            (root / split / label).mkdir(parents=True)
            for number in range(count):
                picture = colour_picture(label, number + 1000 * (split == "train"), SIDE)
                cv2.imwrite(str(root / split / label / f"{number:03}.png"), picture)
    return root


@pytest.fixture(scope="module")
def loud(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model by hand, and its contract: grey times 1000, red less blue, and blue less red; then grey times 1/1000.

    One scale for all three leaves no level to the two that matter.
    """
    folder = tmp_path_factory.mktemp("own")
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Conv2D(3, 1, activation="relu", name="loud")(image)
    x = layers.Conv2D(3, 1, activation="relu", name="inverse")(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    model = keras.Model(image, layers.Dense(2, activation="softmax", name="logits")(x))
    grey, red, blue = [1000 / 3] * 3, [1, 0, -1], [-1, 0, 1]
    model.get_layer("loud").set_weights([np.array([grey, red, blue], np.float32).T[None, None], np.zeros(3)])
    model.get_layer("inverse").set_weights([np.diag([1e-3, 1, 1]).astype(np.float32)[None, None], np.zeros(3)])
    model.get_layer("logits").set_weights([np.array([[0, 0], [-20, 20], [20, -20]], np.float32), np.zeros(2)])
    model.save(folder / "loud.keras")
    spec = ModelSpec(("blue", "red"), (SIDE, SIDE), mean=(0, 0, 0), std=(255, 255, 255), backbone="by hand")
    (folder / "spec.json").write_text(spec.to_json())
    return folder / "loud.keras", folder / "spec.json"


def convert(model: Path, photos: Path, spec: Path, out: Path, *more: object) -> tuple[Job, dict]:
    job = run_here("convert", model, "--data", photos, "--spec", spec, "--out", out, "--calibration", 20, *more)
    report = out / "export" / "report.json"
    return job, json.loads(report.read_text()) if report.exists() else {}


@pytest.fixture(scope="module")
def rescued(loud: tuple[Path, Path], photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("rescued")
    job, report = convert(
        loud[0], photos, loud[1], out, "--scheme", "int8", "int16x8", "selective-int8", "--tolerance", 2, "--explain"
    )
    assert job.returncode == 0, job.stdout + job.stderr
    return out, report


def test_int8_alone_fails(loud: tuple[Path, Path], photos: Path, tmp_path: Path) -> None:
    job, report = convert(loud[0], photos, loud[1], tmp_path, "--scheme", "int8")
    assert job.returncode == 1, job.stdout + job.stderr
    assert "accuracy is not kept: int8 loses" in job.stderr
    assert "--scheme selective-int8" in job.stderr
    assert '<h1 class="fail">No: int8 loses' in (tmp_path / "export" / "report.html").read_text()
    assert report["chosen"] == "float32"
    spec = read_model(tmp_path / "export" / "best.tflite").spec
    assert spec is not None
    assert spec.scheme == "float32"
    assert {row["scheme"]: row["verdict"] for row in report["variants"]} == {"float32": "pass", "int8": "fail"}


def test_a_better_scheme_rescues_it(rescued: tuple[Path, dict]) -> None:
    _, report = rescued
    verdicts = {row["scheme"]: row["verdict"] for row in report["variants"]}
    assert verdicts == {"float32": "pass", "int8": "fail", "int16x8": "pass", "selective-int8": "pass"}
    assert report["chosen"] != "int8"
    kept = next(row["float_layers"] for row in report["variants"] if row["scheme"] == "selective-int8")
    assert any("loud" in name for name in kept)
    assert any("inverse" in name for name in kept)
    worst = " ".join(row["layer"] for row in report["noise"][:2])
    assert "loud" in worst or "inverse" in worst  # the page names the culprit


def test_a_graph_with_hardly_a_layer_in_int8_is_refused(loud: tuple[Path, Path], photos: Path) -> None:
    """Whatever is in int8 changes every label: what remains would be the float model by another name."""
    pictures = [Picture(path, 0, path.name) for path in sorted((photos / "train" / "blue").iterdir())]
    model, spec = keras.models.load_model(loud[0]), ModelSpec.from_json(loud[1].read_text())

    def answer(graph: bytes, asked: Sequence[Picture]) -> np.ndarray:
        return np.tile([1.0, 0.0] if graph == job.graph else [0.0, 1.0], (len(asked), 1))

    job = work.Job(model, spec, pictures, pictures[:8], 1.0, answer=answer)
    with pytest.raises(UserError, match=r"nearly all layers in float .* 12 training pictures: no better than float32"):
        quantize_selectively(job)


def test_the_page_is_self_contained_and_shows_every_flip(rescued: tuple[Path, dict]) -> None:
    out, report = rescued
    page = (out / "export" / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    flips = sum(len(row["flips"]) for row in report["variants"])
    assert flips >= 100
    assert page.count("<figure>") == SHOWN
    assert page.count('alt="Warm: ') == SHOWN
    assert f"and {flips - SHOWN} more" in page  # counted, not shown
    assert re.search("<h1[^>]*>Yes: ", page)
    for row in report["variants"]:
        assert row["scheme"] in page
        assert html.escape(row["verdict"]) in page


@pytest.mark.parametrize("width", [1100, 500])  # a desk, and the narrowest window of a browser without one
def test_the_page_in_a_browser(width: int, rescued: tuple[Path, dict], tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here")
    out, _ = rescued
    probe = """<script>addEventListener("load", () => { const all = [...document.images];
      document.title = all.length + " images, " + all.filter(image => !image.naturalWidth).length + " broken, "
      + document.querySelectorAll("#schemes tr").length + " rows, "
      + [...document.querySelectorAll(".wide")].filter(part => part.scrollWidth > part.clientWidth).length + " cut, "
      + (document.documentElement.scrollWidth <= innerWidth ? "fits" : "too wide") })</script>"""
    page = tmp_path / "page.html"
    page.write_text((out / "export" / "report.html").read_text().replace("</body>", probe + "</body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += [f"--window-size={width},900", f"--user-data-dir={tmp_path}/c"]
    job = subprocess.run([browser, *flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120)
    title = re.search(r"<title>(.*?)</title>", job.stdout)
    assert title, job.stderr
    cut = "0" if width > 1000 else r"\d+"  # on a phone, tables scroll in their own frames
    assert re.fullmatch(rf"\d+ images, 0 broken, 5 rows, {cut} cut, fits", title[1])


def test_a_scheme_that_cannot_work_says_why_and_stops_no_other(
    photos: Path, loud: tuple[Path, Path], tmp_path: Path
) -> None:
    """A Keras 3 model is opaque to training-time schemes; the others go on."""
    import keras as keras3

    image = keras3.Input((SIDE, SIDE, 3))
    x = keras3.layers.GlobalAveragePooling2D()(image)
    model = keras3.Model(image, keras3.layers.Dense(2, activation="softmax")(x))
    model.layers[-1].set_weights([np.array([[-30, 30], [0, 0], [30, -30]], np.float32), np.zeros(2)])
    model.save(tmp_path / "three.keras")
    job, report = convert(
        tmp_path / "three.keras", photos, loud[1], tmp_path / "out", "--scheme", "qat-int8", "float16"
    )
    assert job.returncode == 0, job.stdout + job.stderr
    assert [row["scheme"] for row in report["variants"]] == ["float32", "float16"]
    assert report["skipped"]["qat-int8"]
    assert report["reference"]["accuracy"] > 0.9


def test_own_models_are_checked(loud: tuple[Path, Path], photos: Path, tmp_path: Path) -> None:
    model, spec = loud
    other = json.loads(spec.read_text())
    (tmp_path / "labels.json").write_text(json.dumps({**other, "labels": ["cat", "dog"]}))
    (tmp_path / "size.json").write_text(json.dumps({**other, "size": [64, 64]}))
    (tmp_path / "damaged.keras").write_text("no model")
    cases = [
        (model, tmp_path / "labels.json", "blue, red"),  # not the labels of the photos
        (model, tmp_path / "size.json", "input"),  # not the input of the model
        (model, tmp_path / "none.json", "none.json"),  # no contract
        (tmp_path / "damaged.keras", spec, "damaged.keras"),  # no model
        (tmp_path / "none.keras", spec, "none.keras"),
    ]
    for path, contract, name in cases:
        job, _ = convert(path, photos, contract, tmp_path / "out")
        assert job.returncode == 2, (name, job)
        assert name in job.stderr.strip().splitlines()[-1]
    job = run_here("convert", model, "--data", photos)
    assert job.returncode == 2
    assert "--spec" in job.stderr
