"""The page in a real browser: picture and label belong together, whatever breaks between camera, server and viewer.

Each frame carries its number, as black and white blocks along its lower edge, and its label is that number modulo 16.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from device import edge, flat, free_port, wait_for
from test_sinks import moment

from edge.drift import Drift
from edge.model.classifier import Result
from edge.sinks.base import Moment
from edge.sources.base import Frame, Signal
from edge.store import SaveFolder
from edge.web.preview import Preview

FLAGS = """headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking
    disable-component-update disable-dev-shm-usage disable-sync hide-scrollbars""".split()  # noqa: SIM905
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and its driver are not installed")

BITS = 16
RATE = 25  # frames a second
READ = """
const canvas = document.getElementById('picture'), pen = canvas.getContext('2d');
let number = 0;
for (let bit = 0; bit < 16; bit++) {
  const pixel = pen.getImageData((bit + 0.5) * canvas.width / 16, canvas.height - 10, 1, 1).data;
  number = 2 * number + (pixel[1] > 127);
}
return {number, label: document.getElementById('label').textContent,
  score: document.getElementById('score').textContent,
  signal: document.getElementById('signal').textContent, note: document.getElementById('note').textContent,
  grey: getComputedStyle(canvas).filter.includes('grayscale')};
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield browser
    browser.quit()


class Camera:
    """A page that gets numbered frames, and can lose its camera or be started anew on the same port."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.number, self.away, self._ended = 0, False, threading.Event()
        self.start("a")
        self._thread = threading.Thread(target=self._feed)
        self._thread.start()

    def start(self, letter: str) -> None:
        self.labels = tuple(f"{letter}{number}" for number in range(16))
        self.page = Preview(
            str(self.port), "cam", SaveFolder(self.folder), labels=self.labels, model=[("file", f"{letter}.tflite")]
        )

    def _feed(self) -> None:
        while not self._ended.wait(1 / RATE):
            if not self.away:
                self.number += 1
                self.page.write(self._moment(self.number))

    def _moment(self, number: int) -> Moment:
        image = np.full((180, 320, 3), 90, np.uint8)
        bits = np.array([number >> (BITS - 1 - bit) & 1 for bit in range(BITS)], np.uint8) * 255
        image[-20:] = np.repeat(bits, 320 // BITS)[None, :, None]
        label, scores = self.labels[number % 16], np.full(16, 0.01, np.float32)
        scores[number % 16] = 0.5 + number % 16 / 100
        result = Result(label, 0.9, ((label, 0.9),), {"total": 1.0}, scores)
        return Moment(
            Frame(image, number, "cam", 0.0), result, label, None, 25.0, 0, 0, time.time(), float(scores[number % 16])
        )

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.page.close()


class Network:
    """Between browser and server; connections through it can die in silence, as those of a phone that slept do."""

    def __init__(self, port: int) -> None:
        self._to, self._deaf = port, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(*ends, self._deaf), daemon=True).start()

    def _pass(self, start: socket.socket, end: socket.socket, deaf: threading.Event) -> None:
        with contextlib.suppress(OSError), start:
            while data := start.recv(1 << 16):
                if not deaf.is_set():
                    end.sendall(data)
            while deaf.is_set() and self._listener.fileno() >= 0:  # an end is not passed on either
                time.sleep(0.1)
            end.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """What is open hears nothing any more, not even its end; new connections work."""
        self._deaf.set()
        self._deaf = threading.Event()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Camera]:
    camera = Camera(tmp_path / "saved")
    yield camera
    camera.close()


def look(browser: Any, camera: Camera) -> dict[str, Any]:
    """What the page shows now. Whatever it says, it may not lie."""
    newest = camera.number
    seen = browser.execute_script(READ)
    if seen["number"]:
        assert seen["label"] == f"{camera.labels[0][0]}{seen['number'] % 16}", seen
        assert seen["score"] == f"{50 + seen['number'] % 16}.0 %", seen
    if seen["signal"] == "live":
        assert newest - seen["number"] < 3.5 * RATE, seen
        assert not seen["grey"]
        assert seen["note"] == ""
    else:
        assert seen["grey"], seen
        assert "picture" in seen["note"]
    return seen


def watch(browser: Any, camera: Camera, until: Callable[[dict[str, Any]], bool], seconds: float = 10) -> float:
    """Look until something is so; how many seconds it took."""
    start = time.monotonic()
    while not until(look(browser, camera)):
        assert time.monotonic() - start < seconds, look(browser, camera)
    return time.monotonic() - start


def is_live(seen: dict[str, Any]) -> bool:
    return seen["signal"] == "live"


def moves(browser: Any, camera: Camera) -> None:
    """It is live, and newer pictures come."""
    watch(browser, camera, is_live)
    first = look(browser, camera)["number"]
    watch(browser, camera, lambda seen: is_live(seen) and seen["number"] > first + 3)


def descendants(parent: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended
    found = [parent]
    for process in found:
        found += [child for child, own in parents.items() if own == process]
    return found[1:]


@pytest.mark.parametrize("seconds", [6, pytest.param(30, marks=pytest.mark.slow)])
def test_asleep_and_woken(browser: Any, camera: Camera, seconds: float) -> None:
    if seconds > 10 and not os.environ.get("FROSTLITE_SLOW"):
        pytest.skip("takes half a minute; FROSTLITE_SLOW=1 runs it")
    browser.get(f"http://127.0.0.1:{camera.port}/")
    moves(browser, camera)
    processes = descendants(browser.service.process.pid)
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    time.sleep(seconds)
    for process in processes:
        os.kill(process, signal.SIGCONT)
    assert watch(browser, camera, lambda seen: is_live(seen) and camera.number - seen["number"] < RATE) < 3
    moves(browser, camera)


def test_woken_with_connections_that_are_dead(browser: Any, camera: Camera) -> None:
    """Nobody tells the browser that they are: it must not wait for them."""
    with contextlib.closing(Network(camera.port)) as network:
        browser.get(f"http://127.0.0.1:{network.port}/")
        moves(browser, camera)
        processes = descendants(browser.service.process.pid)
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        network.forget()
        time.sleep(4)
        for process in processes:
            os.kill(process, signal.SIGCONT)
        assert watch(browser, camera, lambda seen: is_live(seen) and camera.number - seen["number"] < RATE) < 7
        moves(browser, camera)
        browser.get("about:blank")


def test_four_windows_and_more_tabs(browser: Any, camera: Camera) -> None:
    """All are live, and in each the button saves. What nobody sees asks for nothing."""
    browser.get(f"http://127.0.0.1:{camera.port}/")
    first, windows = browser.current_window_handle, [browser.current_window_handle]
    try:
        for kind in ("window", "window", "window", "tab"):
            browser.switch_to.new_window(kind)
            browser.get(f"http://127.0.0.1:{camera.port}/")
            windows.append(browser.current_window_handle)
        for count, window in enumerate(windows[:3] + windows[4:], 1):
            browser.switch_to.window(window)
            moves(browser, camera)
            browser.find_element("id", "name").send_keys("here")
            start = time.monotonic()
            browser.find_element("css selector", "#save button").click()
            wait_for(lambda: len(list(camera.folder.glob("here/*.jpg"))) == count)  # noqa: B023
            assert time.monotonic() - start < 3
    finally:
        for window in windows[1:]:
            browser.switch_to.window(window)
            browser.close()
        browser.switch_to.window(first)


def test_a_hidden_tab_lets_go_and_comes_back(browser: Any, camera: Camera) -> None:
    browser.get(f"http://127.0.0.1:{camera.port}/")
    moves(browser, camera)
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")  # covers it
    try:
        time.sleep(0.5)
        encoded = camera.page.encoded
        time.sleep(1.5)
        assert camera.page.encoded == encoded
    finally:
        browser.close()
        browser.switch_to.window(first)
    moves(browser, camera)


def test_a_camera_that_goes_and_returns(browser: Any, camera: Camera) -> None:
    browser.get(f"http://127.0.0.1:{camera.port}/")
    moves(browser, camera)
    camera.away = True
    assert watch(browser, camera, lambda seen: seen["signal"] == "no signal") < 5
    watch(browser, camera, lambda seen: "5 s old" in seen["note"])
    number = look(browser, camera)["number"]
    browser.find_element("id", "name").send_keys("away")
    browser.find_element("css selector", "#save button").click()
    wait_for(lambda: "nothing is saved" in browser.find_element("id", "saved").text)
    assert look(browser, camera)["number"] == number
    camera.away = False
    assert watch(browser, camera, is_live) < 2
    moves(browser, camera)


def test_a_drift_is_a_line_on_the_page(browser: Any, camera: Camera) -> None:
    browser.get(f"http://127.0.0.1:{camera.port}/")
    moves(browser, camera)
    line = browser.find_element("id", "drift")
    assert (line.is_displayed(), line.text) == (False, "")
    drift = Drift(1_800_000_000.0, 0.31, 0.9, 1e5)
    camera.page.tick(Signal(drift=drift))
    wait_for(lambda: line.is_displayed() and line.text == str(drift))
    camera.page.tick(Signal(drift=replace(drift, since=None)))
    wait_for(lambda: not line.is_displayed())


def test_a_server_that_is_started_anew(browser: Any, camera: Camera) -> None:
    """With another model, and its frames counted from 0 again: nothing of the first run stays."""
    browser.get(f"http://127.0.0.1:{camera.port}/")
    moves(browser, camera)
    camera.away = True
    camera.page.close()
    assert watch(browser, camera, lambda seen: seen["signal"] == "no connection") < 5
    browser.find_element("id", "name").send_keys("gone")
    browser.find_element("css selector", "#save button").click()
    wait_for(lambda: "no connection" in browser.find_element("id", "saved").text)
    camera.start("b")
    camera.number, camera.away = 0, False

    def is_new(seen: dict[str, Any]) -> bool:
        return is_live(seen) and seen["label"].startswith("b")

    start = time.monotonic()
    while not is_new(browser.execute_script(READ)):
        assert time.monotonic() - start < 8
    moves(browser, camera)
    assert "b.tflite" in browser.find_element("id", "card").text
    bars = browser.execute_script("return [...document.querySelectorAll('#bars .name')].map(e => e.textContent)")
    assert bars == list(camera.labels)


def test_a_server_that_hangs(browser: Any, camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections stay open and nothing comes, as through a network that went away."""
    browser.get(f"http://127.0.0.1:{camera.port}/")
    moves(browser, camera)
    answer, gone = camera.page.next, threading.Event()

    def hang(after: str, why: bool = False) -> tuple[dict[str, Any], bytes]:
        gone.wait(20)
        return answer(after, why)

    monkeypatch.setattr(camera.page, "next", hang)
    assert 2 < watch(browser, camera, lambda seen: not is_live(seen)) < 5
    monkeypatch.undo()
    gone.set()
    moves(browser, camera)


def test_a_token_that_is_no_longer_right_is_said(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROSTLITE_TOKEN", "geheim-genug")
    page = Preview("0.0.0.0:0", "cam", SaveFolder(tmp_path), labels=("blue", "red"), model=[("file", "x")])
    try:
        page.write(moment("red"))
        browser.get(f"http://127.0.0.1:{page.port}/?token=geheim-genug")
        wait_for(lambda: browser.find_element("id", "signal").text == "live")
        page.token = "another-one"
        wait_for(lambda: "expected the token" in browser.find_element("id", "note").text)
        page.token = "geheim-genug"
        page.write(moment("red"))
        wait_for(lambda: browser.find_element("id", "signal").text == "live")
    finally:
        page.close()


def test_the_page_in_chromium(browser: Any, tiny_model: Path, tmp_path: Path) -> None:
    """The picture moves, the bars follow, the button saves, the console stays empty; wide and narrow."""
    port, (reader, writer) = free_port(), os.pipe()
    command = ("run", tiny_model, "--source", "-", "--preview", port, "--save-dir", tmp_path / "saved", "--json")
    with edge(*command, stdin=reader, stdout=subprocess.DEVNULL) as job:
        try:

            def feed(red: int, blue: int) -> None:
                os.write(writer, cv2.imencode(".jpg", flat(red, blue))[1].tobytes())

            def script(code: str) -> object:
                return browser.execute_script(f"return {code}")

            pixel = """(() => { const c = document.createElement('canvas').getContext('2d');
                c.drawImage(document.getElementById('picture'), 0, 0, 1, 1);
                return Array.from(c.getImageData(0, 0, 1, 1).data); })()"""

            def shows(label: str, red: int, blue: int) -> bool:
                feed(red, blue)
                time.sleep(0.1)
                seen = script(pixel)
                assert isinstance(seen, list)
                near = abs(seen[0] - red) < 12 and abs(seen[2] - blue) < 12
                width = script(f"document.querySelectorAll('#bars i')[{int(label == 'red')}]?.style.width || '0%'")
                return (
                    near
                    and script("document.getElementById('label').textContent") == label
                    and float(str(width)[:-1]) > 80
                )

            feed(220, 20)
            time.sleep(1.5)
            browser.set_window_size(1360, 1000)
            browser.get_log("browser")  # what others left
            browser.get(f"http://127.0.0.1:{port}/")
            wait_for(lambda: shows("red", 220, 20), 20)
            wait_for(lambda: shows("blue", 20, 220), 20)
            assert script("document.querySelectorAll('#legend li').length") == 2  # the timeline knows both
            browser.find_element("id", "name").send_keys("sky")
            browser.find_element("css selector", "#save button").click()
            wait_for(lambda: list((tmp_path / "saved" / "sky").glob("*.jpg")))
            wait_for(lambda: "sky: 1" in str(script("document.getElementById('counts').textContent")))
            assert script("document.documentElement.scrollWidth <= innerWidth")
            size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            assert script("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out on a phone
            wait_for(lambda: shows("red", 220, 20), 20)
            assert browser.get_log("browser") == []
            job.send_signal(signal.SIGTERM)
            wait_for(lambda: "lost" in str(script("document.getElementById('signal').className")), 20)
        finally:
            browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            os.close(writer)
            os.close(reader)
        assert job.wait(15) == 0


def reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_page_that_teaches_in_chromium(browser: Any, tiny_model: Path, tmp_path: Path) -> None:
    """With a folder for a camera: labels are typed, buttons held, a frame is thrown out, the file is saved."""
    for name, red in (("1", 230), ("2", 20)):
        (tmp_path / "camera").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "camera" / f"{name}.png"), flat(red, 250 - red))
    port, out = free_port(), tmp_path / "taught.tflite"
    command = ("teach", tiny_model, "--source", tmp_path / "camera", "--preview", port, "--data", tmp_path / "photos")
    with edge(*command, "--out", out, "--label", "warm") as job:

        def text(name: str) -> str:
            return browser.find_element("id", name).text

        def sees(red: bool) -> bool:
            pixel = """const pen = document.getElementById('picture').getContext('2d');
                return Array.from(pen.getImageData(5, 5, 1, 1).data);"""
            return (browser.execute_script(pixel)[0] > 127) == red

        try:
            wait_for(lambda: reachable(port))
            browser.set_window_size(1200, 900)
            browser.get_log("browser")
            browser.get(f"http://127.0.0.1:{port}/")
            browser.find_element("id", "name").send_keys("cold\n")
            wait_for(lambda: len(browser.find_elements("css selector", "#buttons button")) == 2)
            for place, red in ((0, True), (1, False)):
                button = browser.find_elements("css selector", "#buttons button")[place]
                wait_for(lambda red=red: sees(not red))
                wait_for(lambda red=red: sees(red))
                browser.execute_script("arguments[0].dispatchEvent(new PointerEvent('pointerdown'))", button)
                time.sleep(0.3)
                browser.execute_script("dispatchEvent(new PointerEvent('pointerup'))")
                wait_for(lambda place=place: len(browser.find_elements("css selector", "#grid button")) == place + 1)
            wait_for(lambda: sees(True) and text("label") == "warm")
            wait_for(lambda: sees(False) and text("label") == "cold")
            browser.find_element("id", "finish").click()
            wait_for(lambda: text("saved").startswith("saved as"))
            assert out.exists()
            size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
            for narrow in (False, True):
                if narrow:
                    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
            browser.find_element("css selector", "#grid button").click()
            wait_for(lambda: len(browser.find_elements("css selector", "#grid button")) == 1)
            assert [line for line in browser.get_log("browser") if line["source"] != "rendering"] == []
            job.send_signal(signal.SIGTERM)
        finally:
            browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        assert job.wait(15) == 0
