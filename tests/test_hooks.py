"""The web hook, whose path is a key and is never told, and the command."""

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from device import free_port, wait_for
from test_sinks import moment

from edge.errors import UserError
from edge.sinks import hooks
from edge.sinks.hooks import Command, WebHook


def test_a_receiver_that_is_gone_is_named_without_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_PAUSES", ())
    hook = WebHook(f"http://127.0.0.1:{free_port()}/services/T0/SECRET?key=SECRET")
    with pytest.raises(OSError, match=r"http://127\.0\.0\.1:\d+ did not take an event") as caught:
        hook.write(moment("red"))
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "htp://host/SECRET",
        "https:///SECRET",
        "http://host/a SECRET",
        "http://host/a\x7fSECRET",
        "http://u:SECRET@host/",
    ],
)
def test_wrong_addresses_are_refused_without_their_key(address: str) -> None:
    with pytest.raises(UserError, match="--webhook") as caught:
        WebHook(address)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_loses_no_event_in_silence(status: int) -> None:
    """Followed, it would become a GET without the event."""
    asked: list[str] = []

    class Redirect(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.command)
            self.send_response(status)
            self.send_header("Location", "https://other.example/SECRET?key=SECRET")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Redirect)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(OSError, match=f"{status}, a redirect to https://other.example: give") as caught:
            WebHook(f"http://127.0.0.1:{server.server_port}/SECRET").write(moment("red"))
    finally:
        server.shutdown()
        server.server_close()
    assert asked == ["POST"]
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ('echo "$FROSTLITE_LABEL"', "$F"),  # said as it stands, not the label
        ("echo $FROSTLITE_LABEL", "$F"),
        ("echo ${FROSTLITE_LABEL}", "${"),
        ("echo $(date)", "$("),
        ("echo `date`", "`"),
        ('echo "`date`"', "`"),
        ("true && echo b", "&"),
        ("true || echo b", "|"),
        ("cat | tee x", "|"),
        ("cat > file", ">"),
        ("cat >>file", ">"),
        ("cat 2>&1", ">"),
        ("cat < file", "<"),
        ("true; echo b", ";"),
        ("sleep 9 &", "&"),
        ("cat *.txt", "*"),
        ("cat ~/file", "~"),
        ("NAME=1 env", "NAME="),
        ("(echo a)", "("),
        ("true\necho b", "a new line"),
        ("sh -c echo > x", ">"),
    ],
)
def test_what_only_a_shell_understands_is_refused(command: str, found: str) -> None:
    with pytest.raises(UserError, match="sh -c") as caught:
        Command(command)
    assert f"found {found}," in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        "sh -c 'echo $FROSTLITE_LABEL > x; true && false'",
        'sh -c "echo $FROSTLITE_LABEL | cat"',  # given to a shell, whichever the quotes
        "env A=1 bash -ec 'a=$(date)'",
        "echo 'a & b' \"c; d\" e\\;f",
        "echo 5$ 100% a~b x=y user@host [a] {}",
        'echo "a \\$b"',
    ],
)
def test_what_is_quoted_is_no_syntax(command: str) -> None:
    Command(command)


def test_a_command_does_not_see_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROSTLITE_TOKEN", "geheim")
    monkeypatch.setenv("OTHER", "kept")
    Command(f"sh -c 'env > {tmp_path}/env'").write(moment("red"))
    seen = (tmp_path / "env").read_text()
    assert "geheim" not in seen
    assert "OTHER=kept" in seen
    assert "FROSTLITE_LABEL=red" in seen


def test_a_command_that_takes_too_long_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_LONGEST_COMMAND", 0.5)
    started = time.monotonic()
    with pytest.raises(OSError, match="was ended after"):
        Command(f"sh -c '(sleep 60; touch {tmp_path}/late) & echo $! > {tmp_path}/child; wait'").write(moment())
    assert time.monotonic() - started < 5
    child = int((tmp_path / "child").read_text())

    def gone() -> bool:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return True
        return Path(f"/proc/{child}/stat").read_text().split(") ")[1][0] == "Z"  # ended; nobody has asked how

    wait_for(gone, 3)
