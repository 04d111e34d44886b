"""The gates in front of a turn: route, method, Host, Origin, key, rate, size and kind of the body; and the request's id."""

import asyncio
import gzip
import io
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.web import app
from tests.conftest import Proxy, ProxyStarter
from tests.support.refusals import GOOD_BODY, post, refusal
from tests.support.sessions import http_session

_KEY = "sk-proxy-0123456789"
_PAGE = "https://chat.example"
_MB = 1024 * 1024
_ROUTES = ("/health", "/ready", "/v1/models", "/v1/models/gpt-5.5", "/v1/chat/completions", "/nothing")


@pytest.fixture
async def guarded(one_worker: dict[str, str], start_proxy: ProxyStarter) -> AsyncIterator[Proxy]:
    """A server with a key, an allowed origin and a bound of 1 MB, and a client that sends the key."""
    one_worker |= {"PROXY_API_KEY": _KEY, "PROXY_CORS_ORIGINS": _PAGE, "PROXY_MAX_BODY_MB": "1"}
    async with start_proxy() as proxy:
        yield proxy


@pytest.fixture
async def stranger() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that sends no key."""
    async with http_session() as http:
        yield http


async def test_an_unknown_route_is_404_before_the_key_is_looked_at(guarded: Proxy, stranger: aiohttp.ClientSession) -> None:
    for method, path in [
        ("GET", "/index.html"),
        ("GET", "/v1"),
        ("POST", "/v1/embeddings"),
        ("GET", "/%ff%00%0a"),
        ("PUT", "/v2/models"),
    ]:
        answer = await stranger.request(method, f"{guarded.address}{path}")
        error = await refusal(answer)
        assert (answer.status, error.type, error.code) == (404, "invalid_request_error", "not_found")


async def test_a_wrong_method_is_405_and_names_the_right_ones(guarded: Proxy, stranger: aiohttp.ClientSession) -> None:
    routes = {"/v1/chat/completions": ("GET", "POST"), "/v1/models": ("POST", "GET,HEAD"), "/health": ("DELETE", "GET,HEAD")}
    for path, (wrong, right) in routes.items():
        answer = await stranger.request(wrong, f"{guarded.address}{path}")
        assert (answer.status, (await refusal(answer)).code) == (405, "method_not_allowed")
        assert answer.headers["Allow"].replace(" ", "") == right


async def test_a_wrong_key_is_401_on_every_route_that_needs_one(guarded: Proxy, stranger: aiohttp.ClientSession) -> None:
    wrong = (None, "", "Bearer", "Bearer ", f"Bearer {_KEY}x", f"Bearer {_KEY[:-1]}", f"Basic {_KEY}", _KEY, "Bearer schlüssel")
    for given in wrong:
        headers = {} if given is None else {"Authorization": given}
        for method, path in [("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/models/gpt-5.5")]:
            answer = await stranger.request(method, f"{guarded.address}{path}", headers=headers)
            error = await refusal(answer)
            assert (answer.status, error.type, error.code) == (401, "invalid_request_error", "invalid_api_key")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert _KEY not in error.message


async def test_a_key_of_bytes_that_are_no_text_is_401(guarded: Proxy) -> None:
    for given in (b"Bearer \xff\xfe", b"\xff", f"Bearer {_KEY}".encode() + b"\x80"):
        answer = await _raw(guarded, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + given + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b'"code":"invalid_api_key"' in answer


async def test_the_right_key_opens_and_the_probes_need_none(guarded: Proxy, stranger: aiohttp.ClientSession) -> None:
    for given in (f"Bearer {_KEY}", f"bearer {_KEY}", f"BEARER  {_KEY} "):
        assert (await stranger.get(f"{guarded.base_url}/models", headers={"Authorization": given})).status == 200
    assert (await post(guarded, GOOD_BODY)).status == 200
    for path in ("/health", "/ready"):
        assert (await stranger.get(f"{guarded.address}{path}")).status == 200


async def test_a_host_that_is_not_served_is_421_on_every_route(guarded: Proxy, stranger: aiohttp.ClientSession) -> None:
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "127.0.0.2", "[::2]", "[", ""):
        for path in _ROUTES:
            answer = await stranger.get(f"{guarded.address}{path}", headers={"Host": host})
            assert (answer.status, (await refusal(answer)).code) == (421, "host_not_served")


async def test_the_loopback_names_are_served_with_any_port(guarded: Proxy, stranger: aiohttp.ClientSession) -> None:
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000"):
        assert (await stranger.get(f"{guarded.address}/health", headers={"Host": host})).status == 200


async def test_an_origin_that_is_not_allowed_is_403_on_every_route(guarded: Proxy, stranger: aiohttp.ClientSession) -> None:
    for origin in ("https://evil.example", "http://chat.example", f"{_PAGE}:8443", f"{_PAGE}.evil.example", "null", ""):
        for path in _ROUTES:
            for method in ("GET", "OPTIONS"):
                asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
                answer = await stranger.request(method, f"{guarded.address}{path}", headers=asked)
                assert (answer.status, (await refusal(answer)).code) == (403, "origin_not_allowed")
                assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_page_of_an_allowed_origin_may_ask_and_read(guarded: Proxy, stranger: aiohttp.ClientSession) -> None:
    asked = {"Origin": _PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    before = await stranger.options(f"{guarded.base_url}/chat/completions", headers=asked)
    assert (before.status, await before.read()) == (204, b"")
    assert before.headers["Access-Control-Allow-Origin"] == _PAGE
    assert "POST" in before.headers["Access-Control-Allow-Methods"]
    assert {"authorization", "content-type"} <= set(before.headers["Access-Control-Allow-Headers"].split(", "))
    for body, status in ((GOOD_BODY, 200), (b"{}", 400)):
        answer = await post(guarded, body, {"Origin": _PAGE})
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"], answer.headers["Vary"]) == (status, _PAGE, "Origin")
    assert "Access-Control-Allow-Origin" not in (await post(guarded, b"{}")).headers


async def test_a_body_that_is_not_called_json_is_415(guarded: Proxy, model: ModelServer) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/vnd.api+json", ";;", ""):
        answer = await post(guarded, GOOD_BODY, {"Content-Type": kind})
        assert (answer.status, (await refusal(answer)).code) == (415, "unsupported_media_type")
    unnamed = await _raw(guarded, _POST + b"Content-Length: 2\r\n", b"{}")
    assert unnamed.startswith(b"HTTP/1.1 415 ")
    assert model.calls == 0
    assert (await post(guarded, GOOD_BODY, {"Content-Type": "Application/JSON; charset=utf-8"})).status == 200


async def test_a_body_over_the_bound_is_413_and_one_of_its_size_is_read(guarded: Proxy, model: ModelServer) -> None:
    blanks = b" " * (_MB - len(GOOD_BODY))
    for too_large in (_plain(blanks + GOOD_BODY + b" "), _in_chunks(blanks + GOOD_BODY + b" "), _plain(b" " * 3 * _MB)):
        answer = await _send(guarded, too_large)
        assert (answer.status, (await refusal(answer)).code) == (413, "request_too_large")
    bomb = await _send(guarded, _plain(gzip.compress(b" " * 3 * _MB + GOOD_BODY)), {"Content-Encoding": "gzip"})
    assert (bomb.status, (await refusal(bomb)).code) == (413, "request_too_large")
    assert model.calls == 0
    assert (await _send(guarded, _plain(blanks + GOOD_BODY))).status == 200


async def test_an_expectation_is_looked_at_after_the_host_and_refused_in_openais_form(guarded: Proxy) -> None:
    expecting = _POST + b"Content-Type: application/json\r\nContent-Length: 2\r\nExpect: a-miracle\r\n"
    assert b'"error":{' in await _raw(guarded, expecting, b"{}")
    assert (await _raw(guarded, expecting.replace(b"localhost", b"evil.example"), b"{}")).startswith(b"HTTP/1.1 421 ")


async def test_the_third_request_in_a_minute_of_two_is_429(
    one_worker: dict[str, str], start_proxy: ProxyStarter, model: ModelServer
) -> None:
    one_worker["RATE_LIMIT_PER_MINUTE"] = "2"
    async with start_proxy() as proxy:
        for remaining, body, status in ((1, b"{}", 400), (0, GOOD_BODY, 200)):
            answer = await post(proxy, body)
            assert answer.status == status
            assert answer.headers["x-ratelimit-limit-requests"] == "2"
            assert answer.headers["x-ratelimit-remaining-requests"] == str(remaining)
        refused = await post(proxy, GOOD_BODY)
        error = await refusal(refused)
        assert (refused.status, error.type, error.code) == (429, "requests", "rate_limit_exceeded")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["x-ratelimit-limit-requests"] == "2"
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert 1 <= int(refused.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 60
        assert model.calls == 1


async def test_every_route_that_needs_a_key_is_limited_and_no_other(one_worker: dict[str, str], start_proxy: ProxyStarter) -> None:
    one_worker |= {"RATE_LIMIT_PER_MINUTE": "1", "PROXY_API_KEY": _KEY}
    async with start_proxy() as proxy:
        assert (await proxy.http.get(f"{proxy.base_url}/models")).status == 200
        unlimited = []
        for method, path, _ in app.ROUTES:
            route = re.sub(r"\{.*\}", "x", path)
            answer = await proxy.http.request(method, proxy.address + route, headers={"X-Forwarded-For": "192.0.2.1"})
            if answer.status != 429:
                unlimited.append(route)
        assert unlimited == ["/v1/responses", "/health", "/ready", "/openapi.json"]  # a GET of the first is none, without Upgrade


async def test_a_sane_request_id_is_echoed_and_another_replaced(guarded: Proxy, stranger: aiohttp.ClientSession) -> None:
    for path in _ROUTES:
        for sane in ("req_1", "a", "x" * 128, "6f9619ff-8b86-d011-b42d-00c04fc964ff"):
            answer = await stranger.get(f"{guarded.address}{path}", headers={"x-request-id": sane})
            assert answer.headers["x-request-id"] == sane
        ours = [
            (await stranger.get(f"{guarded.address}{path}", headers={"x-request-id": given})).headers["x-request-id"]
            for given in ("", "x" * 129, "a b", "<script>", "ü", "a,b", "a\tb")
        ]
        assert all(given.startswith("req_") and len(given) > 20 for given in ours)
        assert len(set(ours)) == len(ours)


_POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + _KEY.encode() + b"\r\n"


async def _raw(proxy: Proxy, head: bytes, body: bytes = b"") -> bytes:
    """The whole answer to a request of these bytes, on a connection of its own."""
    address = urlsplit(proxy.address)
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(head + b"Connection: close\r\n\r\n" + body)
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


def _plain(body: bytes) -> io.BytesIO:
    return io.BytesIO(body)  # aiohttp warns of large bytes that are not a file


async def _in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


async def _send(
    proxy: Proxy, body: io.BytesIO | AsyncIterator[bytes], headers: dict[str, str] | None = None
) -> aiohttp.ClientResponse:
    kind = {"Content-Type": "application/json"}
    return await proxy.http.post(f"{proxy.base_url}/chat/completions", data=body, headers=kind | (headers or {}))
