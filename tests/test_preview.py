"""The page: who may see it, that nobody holds it up, and that it works in a real browser."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from device import edge, flat, free_port, wait_for
from test_sinks import moment

from edge.errors import UserError
from edge.store import SaveFolder
from edge.web import server
from edge.web.access import make_token, parse_address
from edge.web.preview import Preview


@pytest.fixture
def preview(tmp_path: Path) -> Iterator[Preview]:
    page = Preview("0", "cam", SaveFolder(tmp_path / "saved"), labels=("blue", "red"), model=[("file", "x.tflite")])
    page.write(moment("red"))
    yield page
    page.close()


def ask(port: int, path: str, method: str = "GET", body: str | None = None, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def test_everything_comes_with_a_strict_policy(preview: Preview) -> None:
    for path in ("/", "/page.css", "/page.js", "/icon.svg", "/metrics", "/nothing"):
        answer = ask(preview.port, path)
        assert answer.status == (404 if path == "/nothing" else 200)
        policy = answer.getheader("Content-Security-Policy") or ""
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(rb"(src|href)=.https?:", answer.read())  # nothing from elsewhere


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/save", '{"label": "cat"}', {"Content_Type": "application/json"}, 200),  # as the page does it
        ("/save", '{"label": "cat"}', {"Content_Type": "text/plain"}, 403),  # as a form of another site can
        ("/save", '{"label": "c"}', {"Content_Type": "application/json", "Origin": "http://evil.example"}, 403),
        ("/save", '{"label": "c"}', {"Content_Type": "application/json", "Host": "evil.example"}, 403),  # rebinding
        ("/save", '{"label": "../x"}', {"Content_Type": "application/json"}, 409),  # out of the folder
        ("/save", "[" * 4000, {"Content_Type": "application/json"}, 400),  # no object, and deep
        ("/save", '{"label": "cat"}' + " " * 5000, {"Content_Type": "application/json"}, 413),  # long
        ("/other", "{}", {"Content_Type": "application/json"}, 404),  # no such thing
    ],
)
def test_saving(preview: Preview, path: str, body: str, headers: dict[str, str], status: int) -> None:
    assert ask(preview.port, path, "POST", body, **headers).status == status
    saved = list(preview.folder.root.rglob("*.jpg"))
    assert len(saved) == (status == 200)
    if saved:
        assert saved[0].parent.name == "cat"
        assert np.abs(cv2.imread(str(saved[0])).astype(int) - flat(200, 20)).max() <= 3


def test_beyond_this_machine_only_with_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROSTLITE_TOKEN", "geheim")
    page = Preview("0.0.0.0:0", "cam", SaveFolder(tmp_path), labels=("a",), model=[])
    try:
        assert ask(page.port, "/").status == 401
        assert ask(page.port, "/stream.mjpg?token=falsch").status == 401
        assert ask(page.port, "/", Cookie="frostlite=falsch").status == 401
        assert ask(page.port, "/save", "POST", "{}", Content_Type="application/json").status == 401
        entry = ask(page.port, "/?token=geheim")
        assert (entry.status, entry.getheader("Location")) == (303, "/")
        cookie = entry.getheader("Set-Cookie") or ""
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert ask(page.port, "/", Cookie=cookie.partition(";")[0]).status == 200
        assert ask(page.port, "/metrics", Authorization="Bearer geheim").status == 200
        assert ask(page.port, "/", Cookie="\x00;=;;").status == 401
    finally:
        page.close()


@pytest.mark.parametrize(
    "request_",
    [
        "GET http://[ HTTP/1.1\r\nHost: localhost",
        "GET / HTTP/1.1\r\nHost: [",
        "POST http://[ HTTP/1.1\r\nHost: localhost",
        "POST /save HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[",
    ],
)
@pytest.mark.parametrize("address", ["0", "0.0.0.0:0"])
def test_broken_addresses_are_answered(
    address: str, request_: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = Preview(address, "cam", SaveFolder(tmp_path), labels=("a",), model=[])
    try:
        with socket.create_connection(("127.0.0.1", page.port), timeout=10) as viewer:
            viewer.sendall(request_.encode() + b"\r\n\r\n")
            assert b" 400 " in viewer.recv(1024).splitlines()[0]
    finally:
        page.close()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(("token", "shown"), [("geheim", False), ("", True)])
def test_a_token_that_the_user_set_is_not_printed(
    token: str, shown: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fresh one is printed, for nobody knows it; the other would stand in the journal."""
    monkeypatch.setenv("FROSTLITE_TOKEN", token)
    page = Preview("0.0.0.0:0", "cam", SaveFolder(tmp_path), labels=("a",), model=[])
    page.close()
    line = capsys.readouterr().err
    assert f"http://0.0.0.0:{page.port}/" in line
    assert (page.token in line) is shown
    assert ("FROSTLITE_TOKEN" in line) is not shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", ("127.0.0.1", 8080)),  # this machine only
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:9", ("::1", 9)),
        ("x", None),
        ("80:", None),
        ("1:99999", None),
    ],
)
def test_addresses(text: str, expected: tuple[str, int] | None) -> None:
    if expected:
        assert parse_address(text) == expected
    else:
        with pytest.raises(UserError, match="--preview"):
            parse_address(text)


def test_a_token_that_breaks_headers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROSTLITE_TOKEN", "a; b\r\nX: y")
    assert make_token("127.0.0.1") == ""
    with pytest.raises(UserError, match="FROSTLITE_TOKEN"):
        make_token("0.0.0.0")


def test_a_second_instance_on_the_port_is_one_line(preview: Preview, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="in use"):
        Preview(str(preview.port), "cam", SaveFolder(tmp_path), labels=("a",), model=[])


def test_stalled_viewers_stall_nobody(preview: Preview) -> None:
    """Viewers that ask for pictures and never read: the loop goes on, and one that reads gets its pictures."""
    noise = np.random.default_rng(0).integers(0, 255, (720, 960, 3), np.uint8)  # large JPEGs fill the buffers
    stalled = []
    for _ in range(5):
        viewer = socket.create_connection(("127.0.0.1", preview.port))
        viewer.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stalled.append(viewer)
    reading = ask(preview.port, "/stream.mjpg")
    longest, pictures, data = 0.0, 0, b""
    end = time.monotonic() + 3
    while time.monotonic() < end:
        started = time.perf_counter()
        preview.show(noise)
        longest = max(longest, time.perf_counter() - started)
        data = data[-10:] + reading.read1(1 << 20)
        pictures += data.count(b"Content-Type: image/jpeg")
    assert longest < 0.05
    assert pictures >= 10
    for viewer in stalled:
        viewer.close()


def test_without_viewers_nothing_is_encoded(preview: Preview) -> None:
    for _ in range(5):
        preview.show(flat(1, 2))
        time.sleep(0.1)
    assert preview.shown.jpegs == 0


def test_too_many_viewers_are_turned_away(preview: Preview) -> None:
    viewers = [ask(preview.port, "/events") for _ in range(24)]
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        ask(preview.port, "/")
    for viewer in viewers:
        viewer.close()


@pytest.mark.parametrize("frames", [0, 1])
def test_viewers_that_leave_are_noticed_without_new_pictures(
    frames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera that is away, and 24 viewers that gave up waiting: the next one still gets in."""
    monkeypatch.setattr(server, "_AGAIN", 0.5)
    page = Preview("0", "cam", SaveFolder(tmp_path), labels=("a",), model=[])
    try:
        for _ in range(frames):
            page.show(flat(1, 2))
        viewers = [ask(page.port, "/stream.mjpg") for _ in range(24)]
        assert b"Content-Type: image/jpeg" in viewers[0].read(60)
        for viewer in viewers:
            viewer.close()

        def let_in() -> bool:
            try:
                return ask(page.port, "/").status == 200
            except (http.client.RemoteDisconnected, ConnectionError):
                return False

        wait_for(let_in, 10)
    finally:
        page.close()


FLAGS = """headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking
    disable-component-update disable-sync hide-scrollbars""".split()  # noqa: SIM905
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and its driver are not installed")
def test_the_page_in_chromium(tiny_model: Path, tmp_path: Path) -> None:
    """The picture moves, the bars follow, the button saves, the console stays empty; wide and narrow."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    port, (reader, writer) = free_port(), os.pipe()
    command = ("run", tiny_model, "--source", "-", "--preview", port, "--save-dir", tmp_path / "saved", "--json")
    with edge(*command, stdin=reader, stdout=subprocess.DEVNULL) as job:
        browser = webdriver.Chrome(options=options, service=Service(DRIVER))
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
            browser.quit()
            os.close(writer)
            os.close(reader)
        assert job.wait(15) == 0


def test_the_state_is_json_with_what_the_page_shows(preview: Preview) -> None:
    answer = ask(preview.port, "/events")
    text = ""
    while "event: state" not in text or not text.endswith("\n\n"):
        text += answer.read1(65536).decode()
    card = json.loads(re.findall(r"event: card\ndata: (.*)", text)[0])
    state = json.loads(re.findall(r"event: state\ndata: (.*)", text)[0])
    assert card["labels"] == ["blue", "red"]
    assert card["events"][0][1] == "red"
    assert state["label"] == "red"
    assert ["dropped", "3"] in state["figures"]
