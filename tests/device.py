"""What the tests of the device share: a model made by hand in a second, and a pattern to tell its labels by."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
from conftest import ROOT

SIDE = 32


def make_tiny_model(path: Path) -> None:
    """Mean red against mean blue: a classifier of 32x32 frames whose answer can be computed by hand."""
    from convert.export import package
    from edge.model.contract import ModelSpec
    from edge.quiet import quiet
    from train.keras import keras, layers, lite_converter

    start = keras.Input((SIDE, SIDE, 3), batch_size=1)
    x = layers.GlobalAveragePooling2D(name="features")(start)
    logits = layers.Dense(2, name="logits")
    outputs = layers.Activation("softmax", name="scores")(logits(x))
    logits.set_weights([np.array([[0, 4], [0, 0], [4, 0]], np.float32), np.zeros(2, np.float32)])
    spec = ModelSpec(("blue", "red"), (SIDE, SIDE), mean=(0, 0, 0), std=(255, 255, 255), backbone="by hand")
    with quiet():
        graph = lite_converter(keras.Model(start, outputs)).convert()
    path.write_bytes(package(graph, spec))


def flat(red: int, blue: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A BGR uint8 frame of one colour."""
    return np.full((*size, 3), (blue, 30, red), np.uint8)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Until it holds; an AssertionError if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@contextlib.contextmanager
def process(*command: object, **options: object) -> Iterator[subprocess.Popen]:
    """A process that is gone when the block ends."""
    job = subprocess.Popen(list(map(str, command)), cwd=ROOT, **options)  # type: ignore[call-overload]
    try:
        yield job
    finally:
        if job.poll() is None:
            job.send_signal(signal.SIGKILL)
        job.wait(10)
        for pipe in filter(None, (job.stdin, job.stdout, job.stderr)):
            pipe.close()


def edge(*arguments: object, **options: object) -> contextlib.AbstractContextManager[subprocess.Popen]:
    """`python -m edge …` in the background, its two outputs as text."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": {**os.environ}}
    return process(sys.executable, "-m", "edge", *arguments, **{**pipes, **options})


class Camera(BaseHTTPRequestHandler):
    """A network camera of 20 frames a second, all red; /snapshot gives one picture, /clip.mp4 a file."""

    clip = b""
    requests: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.requests.append(self.path)
        picture = cv2.imencode(".jpg", flat(220, 20, (120, 160)))[1].tobytes()
        self.send_response(200)
        if not self.path.startswith("/stream"):
            body, kind = (picture, "image/jpeg") if self.path.startswith("/snapshot") else (self.clip, "video/mp4")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        while not getattr(self.server, "gone", False):
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture))
            self.wfile.write(picture + b"\r\n")
            time.sleep(0.05)

    def log_message(self, *_: object) -> None:
        pass


class _CameraServer(ThreadingHTTPServer):
    daemon_threads, gone = True, False

    def handle_error(self, *_: object) -> None:
        pass  # who looked has gone


@contextlib.contextmanager
def camera(port: int = 0, handler: type[Camera] = Camera) -> Iterator[int]:
    """The camera, for the length of the block, at a port of 127.0.0.1."""
    server = _CameraServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.gone = True
        server.shutdown()
        server.server_close()
