"""The server of the page: who may see it, what it says, and that nobody holds it up."""

import http.client
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from device import flat, wait_for
from test_sinks import moment

from edge.errors import UserError
from edge.model.classifier import Result
from edge.sources.base import Signal
from edge.store import SaveFolder
from edge.web import connections, server
from edge.web.access import admit, cookie, make_token, parse_address, reachable
from edge.web.preview import Preview


@pytest.fixture
def preview(tmp_path: Path) -> Iterator[Preview]:
    page = Preview("0", "cam", SaveFolder(tmp_path / "saved"), labels=("blue", "red"), model=[("file", "x.tflite")])
    page.write(moment("red"))
    yield page
    page.close()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes


def ask(port: int, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
    """One request on a connection of its own."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


@contextmanager
def stream(port: int) -> Iterator[http.client.HTTPResponse]:
    """A viewer of /stream.mjpg that leaves when the block ends."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/stream.mjpg")
        with connection.getresponse() as answer:
            yield answer


def test_everything_comes_with_a_strict_policy(preview: Preview) -> None:
    for path in ("/", "/page.css", "/page.js", "/draw.js", "/follow.js", "/icon.svg", "/metrics", "/nothing"):
        answer = ask(preview.port, path)
        assert answer.status == (404 if path == "/nothing" else 200)
        policy = answer.headers.get("Content-Security-Policy") or ""
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(rb"(src|href)=.https?:", answer.body)  # nothing from elsewhere


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
    monkeypatch.setenv("FROSTLITE_TOKEN", "geheim-genug")
    page = Preview("0.0.0.0:0", "cam", SaveFolder(tmp_path), labels=("a",), model=[])
    try:
        assert ask(page.port, "/").status == 401
        assert ask(page.port, "/stream.mjpg?token=falsch").status == 401
        assert ask(page.port, "/", Cookie="frostlite=falsch").status == 401
        assert ask(page.port, "/save", "POST", "{}", Content_Type="application/json").status == 401
        entry = ask(page.port, "/?token=geheim-genug")
        assert (entry.status, entry.headers.get("Location")) == (303, "/")
        cookie = entry.headers.get("Set-Cookie") or ""
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert ask(page.port, "/", Cookie=cookie.partition(";")[0]).status == 200
        assert ask(page.port, "/metrics", Authorization="Bearer geheim-genug").status == 200
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


@pytest.mark.parametrize(("token", "shown"), [("geheim-genug", False), ("", True)])
def test_a_token_that_the_user_set_is_not_printed(
    token: str, shown: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fresh one is printed, for nobody knows it; the other would stand in the journal."""
    monkeypatch.setenv("FROSTLITE_TOKEN", token)
    page = Preview("0.0.0.0:0", "cam", SaveFolder(tmp_path), labels=("a",), model=[])
    page.close()
    line = capsys.readouterr().err
    assert re.search(rf"http://(?!0\.0\.0\.0)\S+:{page.port}/", line)
    assert (page.token in line) is shown
    assert ("FROSTLITE_TOKEN" in line) is not shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", ("127.0.0.1", 8080)),  # this machine only
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:9", ("::1", 9)),
        ("h:65535", ("h", 65535)),
        ("x", None),
        ("80:", None),
        ("1:65536", None),
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
    longest, pictures, data = 0.0, 0, b""
    with ExitStack() as viewers:
        for _ in range(5):
            stalled = viewers.enter_context(socket.create_connection(("127.0.0.1", preview.port)))
            stalled.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reading = viewers.enter_context(stream(preview.port))
        end = time.monotonic() + 3
        while time.monotonic() < end:
            started = time.perf_counter()
            preview.show(noise)
            longest = max(longest, time.perf_counter() - started)
            data = data[-10:] + reading.read1(1 << 20)
            pictures += data.count(b"Content-Type: image/jpeg")
    assert longest < 0.05
    assert pictures >= 10


def test_without_viewers_nothing_is_encoded(preview: Preview) -> None:
    for _ in range(5):
        preview.show(flat(1, 2))
        time.sleep(0.1)
    assert preview.encoded == 0


def test_viewers_share_the_work(preview: Preview) -> None:
    """Six viewers for two seconds: no more pictures are made than for one, each gets them all, with their labels."""
    ended, seen, wrong = time.monotonic() + 2, [0] * 6, []

    def view(place: int) -> None:
        cursor = ""
        while time.monotonic() < ended:
            state, jpeg = next_(preview.port, cursor)
            if jpeg:
                pixel = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[0, 0]
                wrong.append(state["label"] != ("red" if pixel[2] > pixel[0] else "blue"))
            cursor, seen[place] = state["cursor"], seen[place] + bool(jpeg)

    viewers = [threading.Thread(target=view, args=(place,)) for place in range(6)]
    for viewer in viewers:
        viewer.start()
    frames = [moment("red", image=flat(220, 20)), moment("blue", image=flat(20, 220))]
    while time.monotonic() < ended:
        preview.write(frames[preview.frames % 2])
        time.sleep(0.01)
    for viewer in viewers:
        viewer.join()
    assert 15 <= preview.encoded <= 26
    assert min(seen) > 0.7 * preview.encoded
    assert not any(wrong)


def test_too_many_viewers_hear_so_and_the_rest_goes_on(preview: Preview) -> None:
    with ExitStack() as viewers:
        for _ in range(24):
            viewers.enter_context(stream(preview.port))
        for path in ("/stream.mjpg", "/next"):
            answer = ask(preview.port, path)
            assert (answer.status, answer.headers.get("Retry-After")) == (503, "2")
            assert b"too many viewers" in answer.body
        for path in ("/", "/metrics"):
            assert ask(preview.port, path).status == 200


def test_one_address_has_half_of_the_places(preview: Preview) -> None:
    """Of those beyond this machine."""
    with ExitStack() as stack:
        free = [stack.enter_context(preview._server.viewing("192.0.2.1")) for _ in range(14)]
        assert free == [True] * 12 + [False] * 2
        assert stack.enter_context(preview._server.viewing("192.0.2.2"))
    with preview._server.viewing("192.0.2.1") as free_again:
        assert free_again  # they left


def times(port: int, seconds: float) -> list[float]:
    """How long the page and the metrics take, again and again, each on a new connection."""
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        for path in ("/", "/metrics"):
            start = time.monotonic()
            assert ask(port, path, Authorization="Bearer geheim-genug").status == 200
            found.append(time.monotonic() - start)
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(
    ("count", "sent"),
    [
        (24, b"GET / HTTP/1.1\r\nX: "),  # a header that never ends, a byte now and then
        (100, b""),  # more than there are places, and not even a byte
        (100, b"POST /save HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n{"),  # a body that never ends
    ],
)
def test_slow_peers_silence_nobody(count: int, sent: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no token, and come back as soon as they are dropped."""
    monkeypatch.setenv("FROSTLITE_TOKEN", "geheim-genug")
    monkeypatch.setattr(connections, "_DEADLINE", 1.5)
    page = Preview("0.0.0.0:0", "cam", SaveFolder(tmp_path), labels=("a",), model=[])
    ended, answers, came = threading.Event(), [], [0]

    def drip() -> None:
        while not ended.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", page.port), timeout=0.2) as peer:
                came[0] += 1
                peer.sendall(sent)
                while not ended.wait(0.2):
                    peer.sendall(b"a")
                    with suppress(TimeoutError):
                        answers.append(peer.recv(100))
                        if not answers[-1]:
                            break

    peers = [threading.Thread(target=drip) for _ in range(count)]
    try:
        for peer in peers:
            peer.start()
        found = times(page.port, 3)
        assert max(found) < 2
        assert len(found) > 20
        assert came[0] > count  # some were dropped: those past the deadline, or for others
        said = b"".join(answers)
        assert b"408 Request Timeout" in said or b"503 Service Unavailable" in said
    finally:
        ended.set()
        for peer in peers:
            peer.join()
        page.close()


def test_the_address_that_takes_the_places_loses_its_own(preview: Preview) -> None:
    """A slow phone came first; then one machine opens more connections than there are places."""
    with ExitStack() as peers:
        target = ("127.0.0.1", preview.port)
        phone = peers.enter_context(socket.create_connection(target, timeout=10, source_address=("127.0.0.2", 0)))
        phone.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(80):
            peers.enter_context(socket.create_connection(target, timeout=10))
        phone.sendall(b"Host: localhost\r\n\r\n")
        assert b" 200 " in phone.recv(100)


def test_a_viewers_connection_is_kept_and_no_other(preview: Preview) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", preview.port, timeout=10)) as connection:
        for path, kept in (
            ("/next", True),
            ("/next?after=x", True),
            ("/", False),
            ("/next", True),
            ("/metrics", False),
        ):
            connection.request("GET", path)
            connection.getresponse().read()
            assert (connection.sock is not None) is kept


def test_a_body_is_not_taken_for_a_request(preview: Preview) -> None:
    """A form of another site can send text as it likes: as the body of a request that is refused."""
    inner = (
        b"POST /save HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 14\r\n\r\n{"label": "x"}'
    )
    for method in (b"POST", b"GET"):
        head = method + b" /next HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
        with socket.create_connection(("127.0.0.1", preview.port), timeout=10) as peer:
            peer.sendall(head % len(inner) + inner)
            received = b""
            while more := peer.recv(65536):
                received += more
        assert received.count(b"HTTP/1.1 ") == 1
        assert b"Connection: close" in received
    assert not list(preview.folder.root.rglob("*.jpg"))


@pytest.mark.parametrize("path", ["/stream.mjpg", "/", "/next", "/metrics"])
def test_head_has_no_body(preview: Preview, path: str) -> None:
    with socket.create_connection(("127.0.0.1", preview.port), timeout=10) as peer:
        peer.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while more := peer.recv(65536):
            received += more
    assert b" 200 " in received.splitlines()[0]
    assert received.endswith(b"\r\n\r\n")
    assert received.count(b"\r\n\r\n") == 1


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
        with ExitStack() as viewers:
            first, *_ = [viewers.enter_context(stream(page.port)) for _ in range(24)]
            assert b"Content-Type: image/jpeg" in first.read(60)
            assert ask(page.port, "/next").status == 503
        wait_for(lambda: ask(page.port, "/next").status == 200, 10)
    finally:
        page.close()


def next_(port: int, cursor: str = "") -> tuple[dict[str, Any], bytes]:
    """What the page asks for, once."""
    line, _, jpeg = ask(port, f"/next?after={cursor}").body.partition(b"\n")
    return json.loads(line), jpeg


def test_picture_and_state_are_of_the_same_frame(preview: Preview) -> None:
    """Frames that come faster than pictures go out: each picture has the label of its own frame."""
    ended = threading.Event()

    def feed() -> None:
        for number in itertools.count():
            if ended.wait(0.003):
                return
            image = flat(20, 220) if number % 2 else flat(220, 20)
            preview.write(moment("blue" if number % 2 else "red", image=image))

    feeder = threading.Thread(target=feed)
    feeder.start()
    cursor, frames, labels, changes = "", [0], set(), 0
    for _ in range(12):
        state, jpeg = next_(preview.port, cursor)
        pixel = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[0, 0]
        assert state["label"] == ("red" if pixel[2] > pixel[0] else "blue")
        assert state["signal"] is True
        assert state["age"] < 1
        assert ("card" in state) is (not cursor)
        frames.append(state["frame"])
        changes += len(state["events"])
        cursor, labels = state["cursor"], labels | {state["label"]}
    ended.set()
    feeder.join()
    assert frames == sorted(set(frames))  # always a newer one
    assert labels == {"blue", "red"}
    assert changes == min(preview._changes, int(cursor.split(".")[2]))  # each change once


def test_the_state_has_what_the_page_shows(preview: Preview) -> None:
    state, jpeg = next_(preview.port)
    assert state["card"]["labels"] == ["blue", "red"]
    assert state["card"]["model"] == [["file", "x.tflite"]]
    assert [label for _, label in state["events"]] == ["red"]
    assert state["label"] == "red"
    assert ["dropped", "3"] in state["figures"]
    again, nothing = next_(preview.port, state["cursor"])
    assert "card" not in again
    assert again["events"] == []
    assert nothing == b""
    other, picture = next_(preview.port, "0" + state["cursor"])  # of a server that ran before this one
    assert other["card"] == state["card"]
    assert picture == jpeg


def test_the_label_that_stands_has_its_own_score(preview: Preview) -> None:
    """Blue stands while red leads by less than a change takes; unknown is no label and has no score."""
    result = Result("red", 0.53, (("red", 0.53), ("blue", 0.47)), {}, np.float32([0.47, 0.53]))
    cursor = ""
    for stable, score in (("blue", 0.47), ("red", 0.53), ("unknown", None)):
        preview.write(replace(moment("red"), result=result, stable=stable, score=score))
        state, _ = next_(preview.port, cursor)
        cursor = state["cursor"]
        assert (state["label"], state["score"]) == (stable, score)


def test_without_frames_there_is_no_signal(preview: Preview, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sources.base.NO_SIGNAL", 0.5)
    state, _ = next_(preview.port)
    assert state["signal"] is True
    time.sleep(0.6)
    state, _ = next_(preview.port, state["cursor"])
    assert state["signal"] is False
    assert state["silent"] > 0.6
    assert state["age"] > 0.6
    answer = ask(preview.port, "/save", "POST", '{"label": "cat"}', Content_Type="application/json")
    assert (answer.status, list(preview.folder.root.rglob("*.jpg"))) == (409, [])  # not an old frame
    preview.write(moment("blue"))
    state, jpeg = next_(preview.port, state["cursor"])
    assert state["signal"] is True
    assert jpeg


def test_the_timeline_has_a_gap_where_there_was_no_signal(preview: Preview) -> None:
    def tell(since: float) -> None:
        preview.tick(Signal(since=since))

    tell(0.1)
    tell(7)  # it began seven seconds ago
    tell(8)
    preview.write(moment("red", event=False))  # the same label stands again, without a change of it
    state, _ = next_(preview.port)
    assert [label for _, label in state["events"]] == ["red", "", "red"]
    assert state["clock"] - state["events"][1][0] == pytest.approx(7, abs=0.5)
    assert preview.event_counts["red"] == 1


def test_before_the_first_frame(tmp_path: Path) -> None:
    page = Preview("0", "cam", SaveFolder(tmp_path), labels=("a",), model=[])
    try:
        state, jpeg = next_(page.port)
        assert (state["signal"], state["age"], jpeg) == (False, None, b"")
        answer = ask(page.port, "/save", "POST", '{"label": "cat"}', Content_Type="application/json")
        assert (answer.status, answer.body) == (409, b"there is no frame yet")
    finally:
        page.close()


@pytest.mark.parametrize("size", [(1, 4000), (4000, 1), (1, 1), (3000, 4000)])
def test_a_frame_of_any_shape_is_a_picture(preview: Preview, size: tuple[int, int]) -> None:
    preview.show(flat(1, 2, size))
    shown = cv2.imdecode(np.frombuffer(next_(preview.port)[1], np.uint8), cv2.IMREAD_COLOR)
    assert max(shown.shape) <= 960
    assert min(shown.shape[:2]) >= 1


def test_an_error_is_one_line_and_the_next_picture_comes(
    preview: Preview, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.web.preview.encode", lambda image: 1 // 0)
    for _ in range(3):
        with pytest.raises(http.client.HTTPException):
            ask(preview.port, "/next")
    monkeypatch.undo()
    preview.write(moment("blue"))
    assert next_(preview.port)[1]
    assert capsys.readouterr().err.count("ZeroDivisionError") == 1


def test_other_programs_see_that_there_is_no_signal(preview: Preview, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream has no state beside it: its picture says so, instead of the last one for ever."""
    monkeypatch.setattr(server, "_AGAIN", 0.3)

    def corner() -> np.ndarray:
        nonlocal data
        while (end := data.find(b"--frame", 2)) < 0:
            data += viewer.read1(1 << 16)
        jpeg, data = data[:end].partition(b"\r\n\r\n")[2], data[end:]
        return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[0, 0]

    data = b""
    with stream(preview.port) as viewer:
        monkeypatch.setattr("edge.sources.base.NO_SIGNAL", 60)
        for _ in range(2):  # the red frame, and again while it is new
            blue, _, red = corner()
            assert red > 150 > blue
        monkeypatch.setattr("edge.sources.base.NO_SIGNAL", 0)
        corner()  # it may have been on its way
        assert np.ptp(corner()) < 5  # grey


@pytest.mark.parametrize(
    ("cookies", "status"),
    [
        ("{own}", 200),
        ('prefs={{"theme":"dark"}}; {own}', 200),  # of another program on this machine
        ('{own}; x="a;b"; =; ;;', 200),
        ("a=\x01\xff; {own}", 200),
        ("frostlite-1=of-another-camera; {own}; frostlite=old", 200),
        ("frostlite-1=of-another-camera", 401),
        ("prefs=frostlite; theme={token}", 401),
        ("xfrostlite={token}", 401),
        ("{token}", 401),
        ("", 401),
    ],
)
def test_cookies_of_other_programs_lock_nobody_out(cookies: str, status: int) -> None:
    headers, own = Message(), cookie("geheim-genug", 8080).partition(";")[0]
    headers["Cookie"] = cookies.format(own=own, token="geheim-genug")
    assert admit("geheim-genug", headers) == status


def test_two_cameras_on_one_machine_keep_their_cookies_apart() -> None:
    names = {cookie("geheim-genug", port).partition("=")[0] for port in (8080, 8081)}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.168.1.5", r"192\.168\.1\.5"),
        ("fe80::1", r"\[fe80::1\]"),
        ("kitchen.local", r"kitchen\.local"),
        ("0.0.0.0", r"(?!0\.0\.0\.0)[\w.-]+"),  # an address of this machine, or its name
        ("::", r"\[(?!::\])[0-9a-f:]+\]|[\w.-]+"),
    ],
)
def test_the_link_leads_somewhere(host: str, expected: str) -> None:
    assert re.fullmatch(expected, reachable(host))


def test_a_token_that_is_too_short_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for token, good in (("a", False), ("seven77", False), ("eight888", True)):
        monkeypatch.setenv("FROSTLITE_TOKEN", token)
        if good:
            assert make_token("0.0.0.0") == token
        else:
            with pytest.raises(UserError, match="FROSTLITE_TOKEN: expected at least 8 characters"):
                make_token("0.0.0.0")
