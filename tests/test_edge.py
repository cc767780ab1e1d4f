"""The device side as a user meets it: fresh processes, real video files, real signals."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, colour_picture, run_module

from edge import Classifier


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames of 160x120: 20 with a red disc, then 20 with a blue one."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (160, 120))
    for number in range(40):
        writer.write(cv2.resize(colour_picture("red" if number < 20 else "blue", 7000 + number), (160, 120)))
    writer.release()
    return path


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_classify_prints_one_line_an_image(colours: Path, colour_model: Path) -> None:
    images = [colours / "validation" / label / "000.png" for label in ("red", "blue")]
    job = run_module("edge", "classify", colour_model, *images)
    assert job.returncode == 0, job.stderr
    for image, line in zip(images, job.stdout.splitlines(), strict=True):
        assert re.match(rf"{re.escape(str(image))}: {image.parent.name} \d+\.\d%", line)


def test_json_has_the_keys_that_others_read(colours: Path, colour_model: Path) -> None:
    image = colours / "validation" / "red" / "001.png"
    (found,) = json_lines(run_module("edge", "classify", colour_model, image, "--json").stdout)
    assert found["source"] == str(image)
    assert found["frame"] == 0
    assert found["label"] == found["top"][0][0] == "red"
    assert found["score"] == found["top"][0][1]
    assert sum(score for _, score in found["top"]) == pytest.approx(1, abs=1e-3)
    assert set(found["ms"]) >= {"preprocess", "invoke", "total"}


def test_no_tensorflow_on_the_device(colours: Path, colour_model: Path) -> None:
    """A fresh process that classifies has loaded numpy, OpenCV and one runtime, and none of the training side."""
    code = (
        "import sys, cv2; from edge import Classifier;"
        f"picture = cv2.imread({str(colours / 'validation/red/002.png')!r});"
        f"print(Classifier({str(colour_model)!r}).classify(picture).label);"
        "others = 'tensorflow', 'keras', 'tf_keras', 'matplotlib', 'train', 'convert';"
        "print([name for name in others if name in sys.modules])"
    )
    job = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert job.stdout.split("\n")[:2] == ["red", "[]"]


@pytest.mark.parametrize("runtime", ["ai-edge-litert", "tflite-runtime"])
def test_every_runtime_gives_the_same_labels(runtime: str, colours: Path, colour_model: Path) -> None:
    if runtime == "tflite-runtime":
        pytest.importorskip("tflite_runtime")
    images = sorted((colours / "validation").rglob("*.png"))
    words = "--json", "--threshold", 0, "--runtime", runtime  # labels are compared, not what is refused
    found = json_lines(run_module("edge", "classify", colour_model, *images, *words).stdout)
    assert [line["label"] for line in found] == [image.parent.name for image in images]


def test_a_video_gives_every_frame(colour_model: Path, video: Path) -> None:
    job = run_module("edge", "run", colour_model, "--source", video, "--json", "--threshold", 0)
    assert job.returncode == 0, job.stderr
    found = json_lines(job.stdout)
    assert [line["frame"] for line in found] == list(range(40))
    assert [line["label"] for line in found] == ["red"] * 20 + ["blue"] * 20
    assert re.search(r"40 frames in .* 0 dropped", job.stderr)


def test_a_folder_gives_every_picture_and_names_the_broken_one(
    colours: Path, colour_model: Path, tmp_path: Path
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes((colours / f"validation/red/00{number}.png").read_bytes())
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    job = run_module("edge", "run", colour_model, "--source", tmp_path, "--json")
    assert job.returncode == 0
    assert len(json_lines(job.stdout)) == 3
    assert "broken.png" in job.stderr
    assert "1 unreadable" in job.stderr


def test_record_writes_the_label_into_the_frames(colour_model: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    job = run_module("edge", "run", colour_model, "--source", video, "--record", out, "--sheet", tmp_path / "sheet.png")
    assert job.returncode == 0, job.stderr
    before, after = cv2.VideoCapture(str(video)), cv2.VideoCapture(str(out))
    assert after.get(cv2.CAP_PROP_FPS) == pytest.approx(20)
    count = 0
    while True:
        found, annotated = after.read()
        if not found:
            break
        plain = before.read()[1]
        count += 1
        change = np.abs(annotated.astype(int) - plain).mean(axis=(1, 2))
        assert change[-15:].mean() > 4 * change[:60].mean()  # below is the label, above the picture as it was
    assert count == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "sheet.png"]  # nothing half-written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_a_run_cleanly(number: int, colour_model: Path, colours: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.avi"
    writer = cv2.VideoWriter(str(long), cv2.VideoWriter.fourcc(*"MJPG"), 20, (640, 480))
    for _ in range(1500):
        writer.write(np.zeros((480, 640, 3), np.uint8))
    writer.release()
    command = [sys.executable, "-m", "edge", "run", colour_model, "--source", long, "--record", tmp_path / "out.avi"]
    job = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # A test run in the background of a shell ignores SIGINT, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert job.stdout is not None
    job.stdout.readline()  # it has begun
    time.sleep(0.3)
    job.send_signal(number)
    _, errors = job.communicate(timeout=30)
    assert job.returncode == 0
    assert re.search(r"\d+ frames in", errors)
    assert "Traceback" not in errors
    recorded = cv2.VideoCapture(str(tmp_path / "out.avi"))
    assert 0 < recorded.get(cv2.CAP_PROP_FRAME_COUNT) < 1500


def test_bad_input_is_one_line_and_status_2(colour_model: Path, colours: Path, tmp_path: Path) -> None:
    picture = colours / "validation/red/000.png"
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.jpg").write_bytes(picture.read_bytes()[:50])
    (tmp_path / "text.tflite").write_text("no model")
    (tmp_path / "text.mp4").write_text("no video")
    cases = [
        (("classify", colour_model, tmp_path / "broken.jpg"), "broken.jpg"),  # a broken picture
        (("classify", colour_model, tmp_path / "none.jpg"), "none.jpg"),  # a missing picture
        (("classify", tmp_path / "none.tflite", picture), "none.tflite"),  # a missing model
        (("classify", tmp_path / "text.tflite", picture), "text.tflite"),  # no model
        (("classify", colour_model, picture, "--runtime", "onnx"), "onnx"),  # no such runtime
        (("run", colour_model, "--source", tmp_path / "empty"), "empty"),  # an empty folder
        (("run", colour_model, "--source", tmp_path / "text.mp4"), "text.mp4"),  # no video
        (("run", colour_model, "--source", "/dev/video77"), "/dev/video77"),  # no camera
        (("run", colour_model, "--source", picture, "--record", tmp_path / "out.gif"), "out.gif"),  # another format
        (("info", picture), "000.png"),  # a picture for a model
        (("classify", colour_model, picture, "--top-k", 0), "--top-k"),  # out of range
        (("run", colour_model, "--source", "ftp://bob:pw@cam/x"), "ftp://cam: "),  # another scheme
        (("run", colour_model, "--source", picture, "--roi", "1,2"), "X,Y,W,H"),  # half a region
        (("run", colour_model, "--source", picture, "--roi", "900,900,5,5"), "outside"),  # beyond the frame
        (("run", colour_model, "--source", picture, "--csv", "/proc/x.csv"), "/proc/x.csv"),  # nothing is written there
        (
            ("run", colour_model, "--source", picture, "--sheet", "/proc/x.png"),
            "/proc/x.png",
        ),  # told now, not at the end
        (("run", colour_model, "--source", picture, "--save-uncertain", "/proc/x"), "/proc/x"),
        (("run", colour_model, "--source", picture, "--mqtt", "mqtt://[x"), "mqtt://"),  # no address
        (("run", colour_model, "--source", picture, "--webhook", "http://h:99999/"), "http://"),  # no port
        (("run", colour_model, "--source", picture, "--exec", ""), "--exec"),  # no command
    ]
    for arguments, name in cases:
        job = run_module("edge", *arguments)
        assert job.returncode == 2, (arguments, job)
        assert len(job.stderr.strip().splitlines()) == 1, (arguments, job.stderr)
        assert name in job.stderr, (arguments, job.stderr)
        assert "Traceback" not in job.stderr


def test_a_broken_picture_does_not_hide_the_others(colour_model: Path, colours: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    picture = colours / "validation/blue/000.png"
    job = run_module("edge", "classify", colour_model, tmp_path / "broken.jpg", picture, "--json")
    assert job.returncode == 2
    assert [line["label"] for line in json_lines(job.stdout)] == ["blue"]


def test_the_library_in_one_line(colour_model: Path, colours: Path) -> None:
    with Classifier(colour_model, threads=1, top_k=1) as classifier:
        result = classifier.classify(cv2.imread(str(colours / "validation/red/003.png")))
    assert result.label == "red"
    assert result.top == ((result.label, result.score),)
