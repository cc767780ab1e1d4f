"""The web hook: its path is a key, and is never told."""

import pytest
from device import free_port
from test_sinks import moment

from edge.errors import UserError
from edge.sinks import hooks
from edge.sinks.hooks import WebHook


def test_a_receiver_that_is_gone_is_named_without_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_PAUSES", ())
    hook = WebHook(f"http://127.0.0.1:{free_port()}/services/T0/SECRET?key=SECRET")
    with pytest.raises(OSError, match=r"http://127\.0\.0\.1 did not take an event") as caught:
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
