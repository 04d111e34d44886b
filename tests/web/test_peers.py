"""Where a request comes from, with proxies that are trusted and clients that lie."""

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request

from codex_proxy.web.gates.auth import source

_TRUSTED = (ip_network("10.0.0.0/8"), ip_network("127.0.0.1"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "told", "expected"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # not a proxy of ours
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),  # what the client wrote itself stands to the left
        ("127.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),  # two headers are one list
        ("127.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # all are ours: the first of them asks
        ("127.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("127.0.0.1", ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["2001:db8:1:2:3::4"], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["198.51.100.1, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("::ffff:127.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8::1", ["198.51.100.1"], "2001:db8::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_client_is_the_right_most_address_that_is_no_trusted_proxy(peer: str, told: list[str], expected: str) -> None:
    request = make_mocked_request("GET", "/").clone(
        remote=peer, headers=[("X-Forwarded-For", value) for value in told] or {"Host": "localhost"}
    )
    assert source(request, _TRUSTED) == expected


def test_without_trusted_proxies_nobody_is_believed() -> None:
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": "198.51.100.1"}).clone(remote="127.0.0.1")
    assert source(request, ()) == "127.0.0.1"


def test_the_peer_of_a_unix_socket_is_believed_when_it_is_named() -> None:
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": "198.51.100.1"}).clone(remote="")
    assert source(request, (*_TRUSTED, "unix")) == "198.51.100.1"
