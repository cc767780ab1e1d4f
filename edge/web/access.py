"""Who may see the page: this machine without asking, everybody else with the token that was printed."""

import hmac
import os
import re
import secrets
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import urlsplit

from edge.errors import UserError

_COOKIE = "frostlite"


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
        UserError: if that cannot stand in a link and a cookie.
    """
    if _is_local(host):
        return ""
    token = os.environ.get("FROSTLITE_TOKEN") or secrets.token_urlsafe(16)
    if not re.fullmatch(r"[\w.~-]+", token, re.ASCII):
        raise UserError("FROSTLITE_TOKEN: expected letters, digits and .~_- only")
    return token


def cookie(token: str) -> str:
    """The value of a Set-Cookie header by which a browser shows the token from now on."""
    return f"{_COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"


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
    try:
        shown = SimpleCookie(headers.get("Cookie", "")).get(_COOKIE)
    except CookieError:
        shown = None
    bearer = headers.get("Authorization", "").removeprefix("Bearer ")
    return 200 if _same(shown.value if shown else "", token) or _same(bearer, token) else 401


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
