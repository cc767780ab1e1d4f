"""Who may see the page: this machine without asking, everybody else with the token that was printed."""

import hmac
import os
import re
import secrets
import socket
from email.message import Message
from ipaddress import ip_address
from urllib.parse import urlsplit

from edge.errors import UserError

_COOKIE = "frostlite"
_SHORTEST = 8  # letters of a token: what a network can be asked in a year does not find it


def parse_address(text: str) -> tuple[str, int]:
    """[HOST:]PORT to host and port; this machine only if no host is given.

    Raises:
        UserError: for anything else.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UserError(f"--preview: expected [HOST:]PORT as 8080 or 0.0.0.0:8080, found {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def make_token(host: str) -> str:
    """What a server at `host` asks for: nothing on this machine, else FROSTLITE_TOKEN or a fresh secret.

    Raises:
        UserError: if that is too short, or cannot stand in a link and a cookie.
    """
    if _is_local(host):
        return ""
    token = os.environ.get("FROSTLITE_TOKEN") or secrets.token_urlsafe(16)
    if len(token) < _SHORTEST or not re.fullmatch(r"[\w.~-]+", token, re.ASCII):
        raise UserError(
            f"FROSTLITE_TOKEN: expected at least {_SHORTEST} characters, letters, digits and .~_- only; "
            "leave it empty to get a fresh token"
        )
    return token


def cookie(token: str, port: int) -> str:
    """The value of a Set-Cookie header by which a browser shows the token from now on.

    Browsers send cookies to all ports of a machine, so the name holds the port: two cameras on one Pi keep apart.
    """
    return f"{_COOKIE}-{port}={token}; HttpOnly; SameSite=Strict; Path=/"


def reachable(host: str) -> str:
    """A host as it can stand in a link; for one that means "all addresses", the address that leads out of here."""
    try:
        if ip_address(host).is_unspecified:
            family, far = (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((far, 9))  # chooses a route; a datagram socket sends nothing by this
                host = probe.getsockname()[0]
    except ValueError:
        pass  # a name
    except OSError:
        host = socket.gethostname()  # no route: no network yet
    return f"[{host}]" if ":" in host else host


def admit(token: str, headers: Message, asked: str = "") -> int:
    """The HTTP status for a request: 200, or 303 if it brings the token in its query, or 401 or 403.

    Args:
        token: of the server; empty: on this machine alone, where no other site's name may lead to it.
        headers: of the request.
        asked: the token in its query.
    """
    if not token:
        return 200 if _is_local(urlsplit(f"//{headers.get('Host', '')}").hostname or "") else 403
    if asked and _same(asked, token):
        return 303
    bearer = headers.get("Authorization", "").removeprefix("Bearer ")
    return 200 if any(_same(given, token) for given in [bearer, *_cookies(headers)]) else 401


def _cookies(headers: Message) -> list[str]:
    """The values of our cookies. Those of other programs on this machine may hold anything, as JSON."""
    pairs = (pair.strip().partition("=") for line in headers.get_all("Cookie", []) for pair in line.split(";"))
    return [value.strip('"') for name, _, value in pairs if name.split("-")[0] == _COOKIE]


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
