"""The three pictures of the README, from a run of the demo: its sheet, the live page, the top of the report.

    python -m tests.bench.pictures runs/sample docs/pictures

The camera of the page is the run's own validation pictures, as JPEGs on standard input. Wants chromium and its driver.
"""

import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from edge.files import whole
from edge.sinks.video import Sheet
from tests.bench.table import ROOT
from train.rundir import read_run

CELL = Sheet.SIDE + 4  # of the demo's sheet, with its margin
SECONDS = 60  # of the live run, before the page is taken
EACH = 4  # seconds that the camera shows one picture
MOST = 200_000  # bytes of one picture


def save(picture: np.ndarray, path: Path) -> None:
    """Write a BGR uint8 picture as WebP, of the best quality that is small enough."""
    for quality in range(92, 40, -4):
        data = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
        if len(data) <= MOST:
            break
    with whole(path) as part:
        part.write_bytes(data.tobytes())
    print(f"{path}: {picture.shape[1]}x{picture.shape[0]}, {len(data) / 1000:.0f} kB")


def sheet(run: Path, columns: int = 5, rows: int = 2) -> np.ndarray:
    """Some of the pictures of the demo's sheet, spread evenly."""
    whole_sheet = cv2.imread(str(run / "demo.png"))
    height, width = (side // CELL for side in whole_sheet.shape[:2])
    cells = [whole_sheet[y * CELL :, x * CELL :][:CELL, :CELL] for y in range(height) for x in range(width)]
    chosen = [cells[place] for place in np.linspace(0, len(cells) - 1, columns * rows).round().astype(int)]
    return np.vstack([np.hstack(chosen[row * columns :][:columns]) for row in range(rows)])


def take(browser: Any) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(browser.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)


def page(run: Path, browser: Any) -> np.ndarray:
    """The live page, while the validation pictures pass before the camera in a shuffled order."""
    pictures = [picture.path for picture in read_run(run).validation]
    random.Random(3).shuffle(pictures)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "edge", "run", run.resolve() / "export/best.tflite", "--source", "-"]
    command += ["--preview", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT, **quiet) as job:
        assert job.stdin
        start, opened = time.monotonic(), False
        while (passed := time.monotonic() - start) < SECONDS:
            frame = cv2.imread(str(pictures[int(passed / EACH)]))
            job.stdin.write(cv2.imencode(".jpg", frame)[1].tobytes())
            job.stdin.flush()
            if passed > EACH and not opened:
                browser.get(f"http://127.0.0.1:{port}/")
                opened = True
            time.sleep(0.1)
        return take(browser)


def report(run: Path, browser: Any) -> np.ndarray:
    browser.get((run / "report.html").resolve().as_uri())
    return take(browser)


def main(run: Path, out: Path) -> None:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("headless", "no-sandbox", "disable-gpu", "hide-scrollbars", "force-device-scale-factor=1.5"):
        options.add_argument(f"--{flag}")
    out.mkdir(parents=True, exist_ok=True)
    save(sheet(run), out / "sheet.webp")
    with webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver"))) as browser:
        browser.set_window_size(1100, 1190)
        save(page(run, browser), out / "page.webp")
        browser.set_window_size(1000, 960)
        save(report(run, browser), out / "report.webp")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
