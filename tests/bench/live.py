"""What live use costs beside the bare model, all in one run: medians and ratios.

    python -m tests.bench.live runs/photos/export/int8.tflite

Each figure that compares takes turns between its two sides, so that a busy minute of the machine falls on both.
"""

import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

from edge import Classifier
from edge.live import run
from edge.model.preprocess import prepare
from edge.sinks.base import Ended, Moment, Sink
from edge.sources.base import Frame, Mode, Source
from edge.sources.pattern import draw, read_time
from edge.sources.table import open_source
from edge.store import SaveFolder
from edge.web.preview import Preview
from tests.bench.table import ROOT

SECONDS, ROUNDS = 6.0, 5
SLOW = 0.1  # seconds of one inference of a model that manages ten a second
FRAMES = [draw(640, 480, number / 7) for number in range(40)]


def milliseconds(
    *calls: Callable[[], object], ready: Callable[[], object] = lambda: None, count: int = 300
) -> list[float]:
    """The median of each call; they take turns, and before each `ready` is called, which does not count."""
    spent = np.zeros((count + 10, len(calls)))
    for row in spent:
        for place, call in enumerate(calls):
            ready()
            start = time.perf_counter()
            call()
            row[place] = time.perf_counter() - start
    return [float(value) for value in np.median(spent[10:], axis=0) * 1e3]


def frame_to_label(model: str) -> None:
    """Everything from the frame to the label, against `invoke()` alone.

    A frame that has just been written, as by the decoder of a camera, is still in the processor's cache. One out of a
    long list in memory costs its way through memory too.
    """
    frame = FRAMES[0].copy()
    frames = itertools.cycle(FRAMES)
    for threads in (1, 2):
        with Classifier(model, threads=threads) as classifier:
            tensor = prepare(frame, classifier.spec, classifier.interpreter.input)
            for name, ready, image in (
                ("just written", lambda: np.copyto(frame, next(frames)), lambda: frame),
                ("out of memory", lambda: None, lambda: next(frames)),
            ):
                bare, whole = milliseconds(
                    lambda: classifier.interpreter.invoke(tensor),  # noqa: B023
                    lambda: classifier.classify(image()),  # noqa: B023
                    ready=ready,
                )
                cost = f"invoke {bare:.2f} ms, frame to label {whole:.2f} ms: {whole / bare:.3f} times"
                print(f"{threads} threads, frame {name}: {cost}")
            large = draw(1920, 1080, 1.0)
            (spent,) = milliseconds(lambda: prepare(large, classifier.spec, classifier.interpreter.input))  # noqa: B023
    print(f"preprocessing of a 1920x1080 frame: {spent:.2f} ms")


class Loop(Source):
    """Frames from memory as fast as they are taken, so that the model alone sets the pace."""

    def __iter__(self) -> Iterator[Frame]:
        end = time.monotonic() + SECONDS
        for index, image in enumerate(itertools.cycle(FRAMES)):
            if time.monotonic() > end:
                return
            yield Frame(image, index, "loop", time.monotonic())


def loop(model: str, page: str) -> None:
    """One run, for `page_cost`: with the page or without."""
    with Classifier(model) as classifier:
        sinks: list[Sink] = []
        if page:
            folder = SaveFolder(Path(tempfile.gettempdir()) / "none")
            sinks.append(Preview("0", "loop", folder, labels=classifier.spec.labels, model=[("file", "m")]))
        before = time.process_time()
        summary = run(classifier, Loop("loop"), sinks)
        print(summary["fps"], (time.process_time() - before) / summary["frames"] * 1e3)


@contextmanager
def reading(link: str) -> Iterator[list[int]]:
    """One viewer that does no more than read pictures with their states, as the page does."""
    port, ended, pictures = int(re.findall(r":(\d+)", link)[0]), threading.Event(), [0]

    def follow() -> None:
        connection, cursor = HTTPConnection("127.0.0.1", port, timeout=20), ""
        with suppress(HTTPException, OSError):  # the run is over
            while not ended.is_set():
                connection.request("GET", f"/next?after={cursor}")
                line, _, jpeg = connection.getresponse().read().partition(b"\n")
                cursor, pictures[0] = json.loads(line)["cursor"], pictures[0] + bool(jpeg)

    threading.Thread(target=follow, daemon=True).start()
    yield pictures
    ended.set()


@contextmanager
def browsing(link: str) -> Iterator[list[int]]:
    """One viewer with a browser, on the same two cores."""
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--remote-debugging-port=0",
        "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        job = subprocess.Popen([*command, f"--user-data-dir={profile}", link], stderr=subprocess.DEVNULL)
        yield [0]
        job.terminate()
        job.wait(20)


def page_cost(model: str) -> None:
    """Classified frames per second without the page, with it, and with one viewer."""
    viewers = {"no page": None, "page, nobody looks": None, "page, one viewer": reading}
    if shutil.which("chromium"):
        viewers["page, Chromium on the same cores"] = browsing
    rates: dict[str, list[list[float]]] = {name: [] for name in viewers}
    for _, (name, viewer) in itertools.product(range(ROUNDS), viewers.items()):
        command = [sys.executable, "-m", "tests.bench.live", "--loop", model, "" if name == "no page" else "page"]
        job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        assert job.stdout is not None
        assert job.stderr is not None
        with ExitStack() as stack:
            if viewer is not None:
                seen = stack.enter_context(viewer(job.stderr.readline()))
            rates[name].append([float(value) for value in job.stdout.read().split()])
        if viewer is reading:
            assert seen[0] > 8 * SECONDS  # it did see pictures
    plain = np.median(rates["no page"], axis=0)
    for name, found in rates.items():
        rate, cost = np.median(found, axis=0)
        low, high = np.min(found, axis=0)[0], np.max(found, axis=0)[0]
        print(
            f"{name}: {rate:.1f} frames/s ({low:.1f} to {high:.1f}), {rate / plain[0] - 1:+.1%}; "
            f"processor time of the run a frame {cost:.2f} ms, {cost / plain[1] - 1:+.1%}"
        )


class Camera(BaseHTTPRequestHandler):
    """A network camera of 30 frames a second with the time drawn into them."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        due = time.monotonic()
        while True:
            picture = cv2.imencode(".jpg", draw(640, 480, time.monotonic()))[1].tobytes()
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture))
            self.wfile.write(picture + b"\r\n")
            due += 1 / 30
            time.sleep(max(0.0, due - time.monotonic()))

    def log_message(self, *_: object) -> None:
        pass


def camera() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    print(server.server_port, flush=True)
    server.serve_forever()


class Ages(Sink):
    """How old each result is when it comes, by the time that is drawn into its frame."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def write(self, moment: Moment) -> None:
        self.found.append(time.monotonic() % (2**32 / 1000) - read_time(moment.frame.image))
        if len(self.found) == 80:
            raise Ended


def staleness(model: str) -> None:
    """30 frames a second to a model that manages ten, busy all the time."""
    command = [sys.executable, "-m", "tests.bench.live", "--camera"]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    assert job.stdout is not None
    network = f"http://127.0.0.1:{int(job.stdout.readline())}/"
    try:
        for name, address in (("test pattern", "test:"), ("network camera of another process", network)):
            with Classifier(model, threads=1) as classifier:
                native, ages = classifier.interpreter.invoke, Ages()

                def slow(tensor: np.ndarray) -> np.ndarray:
                    end = time.perf_counter() + SLOW
                    while True:
                        output = native(tensor)  # noqa: B023
                        if time.perf_counter() >= end:
                            return output

                classifier.interpreter.invoke = slow  # type: ignore[method-assign]
                summary = run(classifier, open_source(address, Mode(640, 480, 30)), [ages])
            found, inference = ages.found[5:], summary["invoke"] / 1e3
            print(
                f"{name}: inference {inference * 1e3:.0f} ms, results {np.median(found) * 1e3:.0f} ms old (median), "
                f"{max(found) * 1e3:.0f} at most: {max(found) / inference:.2f} inferences; {summary['dropped']} dropped"
            )
    finally:
        job.kill()
        job.wait()


def cold_and_memory(model: str) -> None:
    job = subprocess.run(
        [sys.executable, "-m", "edge", "bench", model, "--json", "--frames", "50"], capture_output=True, cwd=ROOT
    )
    report = json.loads(job.stdout)["models"][0]
    print(f"cold process to first label: {report['cold_start_s']} s, {report['peak_memory_mb']} MB at most")
    command = [sys.executable, "-m", "edge", "run", model, "--source", "test:", "--json"]
    live = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    time.sleep(8)
    status = Path(f"/proc/{live.pid}/status").read_text()
    live.terminate()
    live.wait()
    kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    print(f"resident after 8 s of a live run: {kilobytes / 1024:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1] == "--loop":
        loop(*sys.argv[2:])
    elif sys.argv[1] == "--camera":
        camera()
    else:
        for part in (frame_to_label, staleness, cold_and_memory, page_cost):
            part(sys.argv[1])
