"""Labels that are taught on the device: against heads that are fitted again, arithmetic by hand, and LiteRT itself."""

import io
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from conftest import ROOT, run_here
from device import flat, wait_for

from edge import Classifier, UserError
from edge.model.classifier import Result
from edge.model.contract import BANK_FILE, HEAD_FILE, KEPT_FILE, LABELS_FILE, ModelFile, append_files, read_model
from edge.model.head import Head, softmax, solve_lda, within_labels
from edge.model.kept import keep, kept, most
from edge.model.lesson import learn, solve_and_leave_out
from edge.sinks.base import Moment
from edge.sources.base import Frame
from edge.store import SaveFolder
from edge.taught import Taught
from edge.web.lesson import LessonPage

COLOURS = {"dusk": (60, 20), "noon": (230, 160), "ice": (40, 210)}  # red and blue


def photos(folder: Path, labels: dict[str, tuple[int, int]], count: int = 8) -> Path:
    """Pictures of one colour each, which wavers."""
    random = np.random.default_rng(3)
    for label, colour in labels.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            red, blue = (int(value) for value in np.array(colour) + random.integers(-12, 13, 2))
            cv2.imwrite(str(folder / label / f"{number}.png"), flat(red, blue))
    return folder


@pytest.fixture(scope="module")
def taught(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, which knows red and blue, with three other labels."""
    folder = tmp_path_factory.mktemp("taught")
    out = folder / "taught.tflite"
    job = run_here("edge", "teach", tiny_model, "--data", photos(folder / "photos", COLOURS), "--out", out)
    assert job.returncode == 0, job.stderr
    assert "ice: 8 frames, 8 of 8 right when left out (68% to 100%)" in job.stdout  # 8 of 8: 0.676 to 1 (Wilson)
    return out


@pytest.mark.parametrize(("frames", "width"), [(12, 40), (60, 5), (30, 30)], ids=["few", "many", "as many"])
def test_each_frame_is_left_out_as_by_fitting_again(frames: int, width: int) -> None:
    random = np.random.default_rng(frames)
    labels = np.arange(frames) % 3
    features = random.normal(size=(frames, width)) * random.uniform(0.5, 3, width) + labels[:, None] * 0.4
    features[:, 1] = 7  # a feature that never changes
    rows, diagonal, _, _, shares = within_labels(features, labels, 3)
    head, found = solve_and_leave_out(features, labels, 3)
    whole = solve_lda(features, labels, 3, balance=True)
    assert np.allclose(softmax(head.logits(features)), softmax(whole.logits(features)), atol=1e-9)
    total = diagonal + np.square(rows).sum(axis=0)
    for out in range(frames):
        stay = np.arange(frames) != out
        centres = np.stack([features[stay & (labels == label)].mean(axis=0) for label in range(3)])
        covariance = np.diag(np.maximum(diagonal, diagonal + 1e-4 * total.mean() - total))
        for label in range(3):
            own = features[stay & (labels == label)] - centres[label]
            covariance += (1 - shares[label]) / frames * own.T @ own
        inverse = np.linalg.inv(covariance)
        logits = [features[out] @ inverse @ centre - centre @ inverse @ centre / 2 for centre in centres]
        assert np.allclose(softmax(found[[out]]), softmax(np.array([logits])), atol=1e-7), out


@pytest.mark.parametrize("sizes", [(2, 1), (1, 1), (2, 2), (3, 2), (9, 2)], ids=str)
@pytest.mark.parametrize("spread", [0.0, 1e-6, 1.0])
def test_the_first_frames_are_learnt(sizes: tuple[int, int], spread: float) -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], sizes)
    centres = np.abs(random.normal(size=(2, 50)))
    features = centres[labels] + spread * random.normal(size=(len(labels), 50)) / 10
    features[:, :5] = 0
    lesson = learn(features, labels, 2, slice(10, None))
    assert (lesson.head.logits(features).argmax(axis=1) == labels).all()
    assert (lesson.head.logits(centres * ([0] * 5 + [1] * 45)).argmax(axis=1) == [0, 1]).all()
    assert (lesson.right == (np.array(sizes) > 1)[labels]).all()


def test_a_label_of_one_frame_is_wrong_without_it() -> None:
    features = np.random.default_rng(0).normal(size=(7, 9))
    lesson = learn(features, np.array([0, 0, 0, 1, 1, 1, 2]), 3, slice(4, None))
    assert not lesson.right[6]
    assert np.isfinite(lesson.head.kernel).all()
    assert 0 <= lesson.threshold <= 1
    assert -1 <= lesson.likeness <= 1


def test_what_is_taught_is_answered_everywhere(taught: Path, tiny_model: Path) -> None:
    with Classifier(taught) as classifier:
        for label, (red, blue) in COLOURS.items():
            result = classifier.classify(flat(red, blue))
            assert (result.label, result.why) == (label, "")
        assert classifier.classify(flat(250, 0)).why == "unlike"
        assert classifier.classify(flat(250, 0), None).scores.sum() == pytest.approx(1, abs=1e-5)
    file, base = read_model(taught), read_model(tiny_model)
    assert file.spec is not None
    assert base.spec is not None
    assert (file.spec.labels, file.graph) == (tuple(sorted(COLOURS)), base.graph)
    assert file.files[LABELS_FILE].split() == [b"blue", b"red"]  # what the graph itself answers, for other programs
    for command in (["info", taught], ["bench", taught, "--frames", "10", "--threads", "1"]):
        assert run_here("edge", *command).returncode == 0


def test_it_needs_neither_tensorflow_nor_scipy(tiny_model: Path, tmp_path: Path) -> None:
    code = """
import runpy, sys
for name in ("tensorflow", "tf_keras", "keras", "scipy", "sklearn", "train", "convert"):
    sys.modules[name] = None
runpy.run_module("edge", run_name="__main__")
"""
    command = ["teach", tiny_model, "--data", photos(tmp_path / "photos", COLOURS), "--out", tmp_path / "out.tflite"]
    job = subprocess.run([sys.executable, "-c", code, *map(str, command)], cwd=ROOT, capture_output=True, text=True)
    assert job.returncode == 0, job.stderr
    assert (tmp_path / "out.tflite").exists()


def test_it_is_folded_into_the_graph(taught: Path) -> None:
    job = run_here("convert", taught)
    assert job.returncode == 0, job.stderr
    folded = taught.with_name("taught-folded.tflite")
    file = read_model(folded)
    assert file.spec is not None
    assert (file.spec.head, HEAD_FILE in file.files) == ("", False)
    native = Interpreter(model_content=folded.read_bytes())
    native.allocate_tensors()
    (output,), (image,) = native.get_output_details(), native.get_input_details()
    assert output["shape"].tolist() == [1, 3]
    random = np.random.default_rng(1)
    with Classifier(taught) as one, Classifier(folded) as other:
        for red, blue in random.integers(0, 256, (60, 2)):
            first, second = one.classify(flat(red, blue)), other.classify(flat(red, blue))
            assert (first.label, first.why) == (second.label, second.why)
            native.set_tensor(image["index"], np.full((1, 32, 32, 3), [red, 30, blue], np.float32) / 255)
            native.invoke()
            assert np.allclose(native.get_tensor(output["index"])[0], first.scores, atol=1e-4)


def test_labels_are_kept(taught: Path, tmp_path: Path) -> None:
    more = photos(tmp_path / "photos", {"fire": (250, 10)})
    out = tmp_path / "more.tflite"
    job = run_here("edge", "teach", taught, "--keep", "--data", more, "--out", out)
    assert job.returncode == 0, job.stderr
    assert "dusk: 0 frames, 8 kept" in job.stdout
    with Classifier(out) as classifier:
        assert classifier.spec.labels == (*sorted(COLOURS), "fire")
        for label, (red, blue) in {**COLOURS, "fire": (250, 10)}.items():
            assert classifier.classify(flat(red, blue)).label == label


def test_a_label_that_can_name_no_folder_gets_one_that_can(taught: Path, tmp_path: Path) -> None:
    """Labels that are kept come from a file, which may call them anything."""
    file = read_model(taught)
    assert file.spec is not None
    labels = ("../up", "a/b", "CON.")
    named = replace(file, spec=replace(file.spec, labels=labels))
    with Classifier(file, threshold=0) as classifier:
        folder = tmp_path / "in" / "frames"
        state = Taught(named, classifier.widths(), SaveFolder(folder), keep_labels=True)
        for place, label in enumerate(labels):
            image = flat(200, 40 * place)
            features = classifier.classify(image).features
            assert features is not None
            assert state.take(label, image, features)
        assert {path.parent.parent for path in tmp_path.rglob("*.jpg")} == {folder}
        again = Taught(named, classifier.widths(), SaveFolder(folder), keep_labels=True)
        again.read(folder, lambda image: np.asarray(classifier.classify(image).features))
    assert [(row["label"], row["frames"]) for row in again.table()] == [(label, 1) for label in labels]


def test_what_is_kept_comes_back(taught: Path) -> None:
    random = np.random.default_rng(2)
    features = random.gamma(1, 1, (50, 1664)).astype(np.float32) * np.repeat([1, 50], [384, 1280])
    labels = random.integers(0, 3, 50)
    files = keep(features, labels, [384, 1280])
    spec = read_model(taught).spec
    assert spec is not None
    spec = replace(spec, features=("a", "b"))
    found = kept(files, spec)
    assert found is not None
    assert (found[1] == labels).all()
    for part in (slice(384), slice(384, None)):
        step = features[:, part].max(axis=1, keepdims=True) / 127
        assert (np.abs(found[0][:, part] - features[:, part]) <= step / 2 * 1.001).all()
    assert most(1664) * 1664 <= 256 << 10
    assert kept({BANK_FILE: files[BANK_FILE]}, spec) is None  # an older file
    for damaged in (
        {**files, KEPT_FILE: b"PK"},
        {**files, BANK_FILE: files[BANK_FILE][:200]},
        keep(features, labels + 5, [384, 1280]),
        keep(features, labels, [100, 1564 - 384, 384]),
    ):
        with pytest.raises(ValueError, match="damaged"):
            kept(damaged, spec)


def changed(file: ModelFile, head: bytes, right: bool = True) -> bytes:
    import hashlib

    assert file.spec is not None
    digest = hashlib.sha256(head).hexdigest() if right else file.spec.head
    more = {name: data for name, data in file.files.items() if name in (BANK_FILE, KEPT_FILE)}
    return append_files(file.graph, replace(file.spec, head=digest), {**more, HEAD_FILE: head})


def npy(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("head", "right", "told"),
    [
        (b"", True, "empty"),
        (b"no head", True, ""),
        (npy(np.zeros((3, 3), np.float32)), True, "expected a head of float32 (4, 3)"),
        (npy(np.zeros((4, 3))), True, "expected a head of float32 (4, 3)"),
        (npy(np.full((4, 3), np.nan, np.float32)), True, "finite"),
        (npy(np.array([print], object)), True, "allow_pickle"),  # never run
        (npy(np.zeros((4, 3), np.float32)), False, "SHA-256"),
    ],
    ids=["empty", "text", "rows", "float64", "nan", "pickle", "another"],
)
def test_a_head_that_is_wrong_is_refused(taught: Path, tmp_path: Path, head: bytes, right: bool, told: str) -> None:
    path = tmp_path / "changed.tflite"
    path.write_bytes(changed(read_model(taught), head, right))
    with pytest.raises(UserError) as error:
        Classifier(path)
    assert str(path) in str(error.value)
    assert told in str(error.value)


def test_a_head_comes_back() -> None:
    head = Head(np.random.default_rng(0).normal(size=(5, 2)), np.array([1.0, -2.0]))
    again = Head.from_bytes(head.to_bytes(), (5, 2))
    assert np.allclose(again.kernel, head.kernel)
    assert np.allclose(again.bias, head.bias)


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("nothing", "expected --data DIR"),
        ("no page", "--source: expected --preview"),
        ("missing", "expected a folder with a folder of photos"),
        ("splits", "expected a folder for each label, found train"),
        ("itself", "expected a file other than MODEL"),
        ("one label", "expected frames of two labels"),
        ("nothing kept", "--keep: expected a file that keeps"),
        ("no features", "expected a file of FrostLite that names its features"),
        ("no place", "cannot save there"),
        ("label", "can name a folder"),
    ],
)
def test_what_cannot_be_is_one_line(case: str, told: str, tiny_model: Path, tmp_path: Path) -> None:
    model, out, one = tmp_path / "m.tflite", tmp_path / "out.tflite", photos(tmp_path / "one", {"a": (1, 2)}, 2)
    file = read_model(tiny_model)
    assert file.spec is not None
    spec = replace(file.spec, features=()) if case == "no features" else file.spec
    model.write_bytes(append_files(file.graph, spec))
    (tmp_path / "file").write_text("")
    data = photos(tmp_path / "photos", COLOURS, 2)
    photos(tmp_path / "splits" / "train", {"a": (1, 2)}, 1)
    given = {
        "nothing": [],
        "no page": ["--source", "test:"],
        "missing": ["--data", tmp_path / "none"],
        "splits": ["--data", tmp_path / "splits"],
        "itself": ["--data", data, "--out", model],
        "one label": ["--data", one],
        "nothing kept": ["--data", data, "--keep"],
        "no features": ["--data", data],
        "no place": ["--data", data, "--out", tmp_path / "file" / "out.tflite"],
        "label": ["--data", data, "--label", "../up"],
    }[case]
    before = model.read_bytes()
    job = run_here("edge", "teach", model, *(["--out", out] if "--out" not in given else []), *given)
    assert job.returncode == 2
    assert told in job.stderr
    assert job.stderr.startswith("error: ")
    assert job.stderr.count("\n") == 1
    assert not out.exists()
    assert model.read_bytes() == before


def test_a_file_that_was_not_taught_is_not_folded(tiny_model: Path) -> None:
    job = run_here("convert", tiny_model)
    assert (job.returncode, job.stderr.count("\n")) == (2, 1)
    assert "python -m edge teach" in job.stderr


def test_photos_that_cannot_be_read_are_named(tiny_model: Path, tmp_path: Path) -> None:
    data = photos(tmp_path / "photos", COLOURS, 3)
    (data / "ice" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    (data / "loose.png").write_bytes((data / "ice" / "0.png").read_bytes())
    job = run_here("edge", "teach", tiny_model, "--data", data, "--out", tmp_path / "out.tflite")
    assert job.returncode == 0, job.stderr
    assert "ice: 3 frames" in job.stdout
    assert "bad.jpg" in job.stderr
    assert "1 photos that are in no label's folder" in job.stderr


@pytest.fixture
def page(tiny_model: Path, tmp_path: Path) -> Iterator["Camera"]:
    camera = Camera(tiny_model, tmp_path)
    yield camera
    camera.page.close()
    camera.classifier.close()


class Camera:
    """A page, and a camera that sees what it is told to."""

    def __init__(self, model: Path, folder: Path) -> None:
        file = read_model(model)
        self.classifier, self.turn = Classifier(file, threshold=0), threading.Lock()
        self.folder, self.out, self.number = folder / "frames", folder / "out.tflite", 0
        self.taught = Taught(file, self.classifier.widths(), SaveFolder(self.folder))
        self.page = LessonPage("0", "cam", self.taught, self.out)

    def see(self, red: int, blue: int) -> Result:
        image = flat(red, blue)
        with self.turn:  # a classifier is of one thread at a time
            self.number += 1
            result = self.classifier.classify(image)
        self.page.write(Moment(Frame(image, self.number, "cam", 0.0), result, "", None, 25.0, 0, 0, 0.0))
        return result

    def post(self, path: str, **given: object) -> tuple[int, str]:
        address = f"http://127.0.0.1:{self.page.port}{path}"
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(address, json.dumps(given).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page.port}{path}", timeout=5) as answer:
            return answer.read()

    def state(self) -> dict[str, Any]:
        return json.loads(self.get("/next?after=").split(b"\n")[0])


def test_the_page_teaches(page: Camera) -> None:
    assert page.post("/take", label="warm")[0] == 409  # there is no frame yet
    page.see(220, 30)
    assert page.state()["label"] is None
    assert page.post("/take", label="warm") == (409, "expected one of the labels, found 'warm': add it first")
    for label, place in (("warm", 220), ("cold", 20)):
        assert page.post("/label", label=label)[0] == 200
        for step in (0, 12, 30):
            page.see(place + step, 240 - place)
            assert page.post("/take", label=label) == (200, "taken")
    page.see(20, 222)
    assert page.post("/take", label="cold", held=True)[1].startswith("like one that was taken")
    wait_for(lambda: page.state()["label"] == "cold")
    state = page.state()
    assert [row["frames"] for row in state["lesson"]] == [3, 3]
    assert all(row["right"] == row["of"] == 3 for row in state["lesson"])
    assert len(list(page.folder.glob("*/*.jpg"))) == 6
    frames = json.loads(page.get("/frames"))
    assert [label for _, label in frames] == ["cold"] * 3 + ["warm"] * 3
    assert cv2.imdecode(np.frombuffer(page.get(f"/frames/{frames[0][0]}.jpg"), np.uint8), 1).shape == (120, 160, 3)
    assert page.post("/throw", frame=frames[0][0]) == (200, "thrown out")
    assert page.post("/throw", frame=frames[0][0]) == (200, "it was gone")
    assert len(list(page.folder.glob("*/*.jpg"))) == 6  # one of them set aside
    assert len(list(page.folder.glob(".thrown-out/*.jpg"))) == 1
    assert not page.state()["saved_all"]
    assert page.post("/finish")[0] == 200
    assert page.state()["saved_all"]
    with Classifier(page.out) as classifier:
        assert classifier.classify(flat(225, 25)).label == "warm"
    again = Taught(page.taught.file, page.taught.widths, SaveFolder(page.folder))
    again.read(page.folder, lambda image: page.classifier.classify(image).features)
    assert [row["frames"] for row in again.table()] == [2, 3]  # in the order of their names: cold, warm


@pytest.mark.parametrize(
    ("path", "given", "status"),
    [
        ("/label", {"label": "../../up"}, 409),
        ("/label", {"label": "/etc"}, 409),
        ("/label", {"label": ".hidden"}, 409),
        ("/label", {"label": "train"}, 409),
        ("/label", {"label": "two\nlines"}, 409),
        ("/label", {"label": ""}, 409),
        ("/label", {}, 400),
        ("/take", {"label": "../../up"}, 409),
        ("/throw", {"frame": "../1"}, 400),
        ("/throw", {"frame": 10**30}, 200),
        ("/finish", {}, 409),
        ("/save", {"label": "a"}, 404),
    ],
)
def test_hostile_requests_do_nothing(page: Camera, path: str, given: dict[str, object], status: int) -> None:
    page.see(200, 100)
    assert page.post(path, **given)[0] == status
    assert not page.folder.exists()
    assert not page.out.exists()
    assert page.state()["lesson"] == []


def test_only_who_has_the_token_teaches(page: Camera) -> None:
    page.page.token = "long-enough"
    assert page.post("/label", label="a")[0] == 401
    with pytest.raises(urllib.error.HTTPError):
        page.get("/frames")
    assert page.taught.labels == []


def test_many_viewers_teach_at_once(page: Camera) -> None:
    page.post("/label", label="a")
    page.post("/label", label="b")
    random = np.random.default_rng(0)

    def hold(label: str) -> None:
        for _ in range(12):
            page.see(*random.integers(0, 256, 2).tolist())
            page.post("/take", label=label)

    threads = [threading.Thread(target=hold, args=(label,)) for label in "abab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frames = page.taught.frames
    assert len(list(page.folder.glob("*/*.jpg"))) == len(frames) == len({each.path for each in frames.values()})
    wait_for(lambda: page.state()["label"] is not None)
