"""Which addresses keys and speech may go to without TLS; see also test_credentials."""

from __future__ import annotations

import pytest

from aai_stream.connection.addresses import DEFAULT_URL, endpoint, host_of, is_loopback
from aai_stream.errors import OptionError


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.255.1.2", "::1", "0:0:0:0:0:0:0:1"]
)
def test_this_machine(host: str) -> None:
    assert is_loopback(host)
    netloc = f"[{host}]" if ":" in host else host
    for scheme in ("ws", "http"):
        url = endpoint(f"{scheme}://{netloc}:8765", "/v3/ws")
        assert url == f"ws://{netloc}:8765/v3/ws"


@pytest.mark.parametrize(
    "host",
    [
        "streaming.assemblyai.com",
        "0.0.0.0",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "128.0.0.1",
        "::",
        "fe80::1",
        "2001:db8::1",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "notlocalhost",
        "127.1",  # some resolvers take it for this machine, others don't
        "2130706433",
    ],
)
def test_another_machine(host: str) -> None:
    assert not is_loopback(host)
    netloc = f"[{host}]" if ":" in host else host
    for scheme in ("ws", "http"):
        with pytest.raises(OptionError) as caught:
            endpoint(f"{scheme}://{netloc}", "/v3/ws")
        assert str(caught.value) == (
            f"base_url has no TLS, and {host} is another machine: use wss://, or pass "
            "allow_unencrypted=True to send it key and speech all the same"
        )
        url = endpoint(f"{scheme}://{netloc}", "/v3/ws", allow_unencrypted=True)
        assert url == f"ws://{netloc}/v3/ws"
    for scheme in ("wss", "https"):
        assert endpoint(f"{scheme}://{netloc}", "/x") == f"wss://{netloc}/x"


def test_the_default_is_encrypted() -> None:
    assert endpoint(DEFAULT_URL, "/v3/ws") == "wss://streaming.assemblyai.com/v3/ws"


@pytest.mark.parametrize(
    ("path", "before"),
    [
        ("", ""),
        ("/", ""),
        ("/v3/ws", ""),
        ("/v3/ws/", ""),
        ("/proxy/", "/proxy"),
        ("/proxy/v3/ws", "/proxy"),
        ("/v3", "/v3"),
        ("/other-v3/ws", "/other-v3/ws"),
    ],
)
def test_the_path_may_be_there_already(path: str, before: str) -> None:
    for wanted in ("/v3/ws", "/v3/token"):
        url = endpoint(f"https://streaming.eu.assemblyai.com{path}", wanted)
        assert url == f"wss://streaming.eu.assemblyai.com{before}{wanted}"


@pytest.mark.parametrize(
    ("base", "host"),
    [
        ("ws://LOCALHOST:80/v3/ws", "localhost"),
        ("ws://[::1]:80", "::1"),
        ("localhost:8765", ""),
        ("ws://[::1", ""),
        ("", ""),
        (None, ""),
        (b"ws://localhost", ""),
    ],
)
def test_the_host_of_what_may_be_no_url(base: object, host: str) -> None:
    assert host_of(base) == host


@pytest.mark.parametrize("base", ["WS://LOCALHOST:80", "HTTP://127.0.0.1"])
def test_capitals_change_nothing(base: str) -> None:
    assert endpoint(base, "/v3/ws").lower() == endpoint(base.lower(), "/v3/ws")


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize(
    "base",
    [
        "ws://",
        "ws:///path",
        "ws://localhost:0",
        "ws://localhost:65536",
        "ws://localhost/?a=b",
        "ws://localhost/#part",
        "ws://me@localhost",
        "ws://me:abc@localhost",
        "ftp://localhost",
        "localhost",
        "localhost:8765",
        None,
        b"ws://localhost",
        "ws://:abc@localhost",
    ],
)
def test_what_no_permission_makes_good(base: str, allow: bool) -> None:
    with pytest.raises(OptionError, match="must look like") as caught:
        endpoint(base, "/v3/ws", allow_unencrypted=allow)
    assert "abc" not in str(caught.value)
