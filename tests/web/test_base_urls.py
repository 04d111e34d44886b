"""The base URLs that people type: served as the right one, or a 404 that names the route; never a redirect."""

import logging
from collections.abc import AsyncIterator

import msgspec
import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.web import app
from codex_proxy.web.paths import Paths
from tests.conftest import Proxy, ProxyStarter
from tests.support.refusals import refusal
from tests.web.test_metrics import read

_KEY = "sk-proxy-0123456789"
_BASE_URLS = ("/v1", "", "/", "//", "/v1/", "/v1//", "/v1/v1", "/v1/v1/", "/v1/v1/v1", "//v1")
_CHAT, _ITEMS = {"messages": [{"role": "user", "content": "hi"}]}, {"input": "hi"}
_JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def keyed(one_worker: dict[str, str], start_proxy: ProxyStarter) -> AsyncIterator[Proxy]:
    """A server with a key and a rate, in chat mode."""
    one_worker |= {"PROXY_API_KEY": _KEY, "RATE_LIMIT_PER_MINUTE": "1000", "CODEX_DEFAULT_MODE": "chat"}
    async with start_proxy() as proxy:
        yield proxy


@pytest.mark.parametrize("end", ["", "/"])
async def test_every_base_url_that_means_ours_is_served_as_ours(keyed: Proxy, model: ModelServer, end: str) -> None:
    calls = [("POST", "/chat/completions", _CHAT), ("POST", "/responses", _ITEMS), ("GET", "/models", None)]
    calls += [("GET", "/models/openai%2Fgpt-5.5", None), ("GET", "/models/openai/gpt-5.5?a=b%20c", None)]
    for base_url in _BASE_URLS:
        for method, path, body in calls:
            url = f"{keyed.address}{base_url}{path.replace('?', f'{end}?') if '?' in path else path + end}"
            data = None if body is None else msgspec.json.encode(body)
            answer = await keyed.http.request(method, url, data=data, headers=_JSON, allow_redirects=False)
            assert answer.status == 200, (url, await answer.text())
            assert answer.headers["x-ratelimit-limit-requests"] == "1000"
            refused = await keyed.http.request(method, url, data=data, headers={**_JSON, "Authorization": "Bearer x"})
            assert (refused.status, (await refusal(refused)).code) == (401, "invalid_api_key")
    assert model.calls == 2 * len(_BASE_URLS)
    numbers = await read(keyed)
    for route in ("/v1/chat/completions", "/v1/responses", "/v1/models", "/v1/models/{id}"):
        assert numbers("codex_proxy_http_answers_total", route=route, status="200") >= len(_BASE_URLS)
    assert numbers("codex_proxy_http_answers_total", route="unknown") == 0


async def test_the_kept_routes_and_the_probes_are_served_by_them_too(keyed: Proxy) -> None:
    made = await keyed.http.post(f"{keyed.address}/responses/", data=msgspec.json.encode(_ITEMS), headers=_JSON)
    kept = msgspec.json.decode(await made.read())["id"]
    for path in (
        f"/responses/{kept}",
        f"/v1/v1/responses/{kept}/",
        f"//responses/{kept}/input_items",
        "/health/",
        "//ready",
        "/metrics/",
    ):
        assert (await keyed.http.get(keyed.address + path)).status == 200, path
    assert (await keyed.http.delete(f"{keyed.address}/responses/{kept}/")).status == 200


async def test_a_refused_request_is_logged_under_the_route(keyed: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await keyed.http.post(f"{keyed.address}/chat/completions/", data=b"{}", headers=_JSON)
    [line] = [record for record in caplog.records if record.getMessage() == "refused"]
    assert "POST /v1/chat/completions " in line.__dict__["terminal"] + " "


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("POST", "/v1/chat/completions/chat/completions", "/v1/chat/completions"),
        ("POST", "/chat/completions/chat/completions/", "/v1/chat/completions"),
        ("POST", "/v1/responses/responses/responses", "/v1/responses"),
        ("POST", "/api/v1/chat/completions", "/v1/chat/completions"),
        ("POST", "/openai/v1/responses", "/v1/responses"),
        ("GET", "/v2/models", "/v1/models"),
        ("GET", "/v1", None),
        ("POST", "/v1/", None),
    ],
)
async def test_another_path_that_ends_like_a_route_is_a_404_that_names_it(
    keyed: Proxy, method: str, path: str, route: str | None
) -> None:
    answer = await keyed.http.request(method, keyed.address + path, allow_redirects=False)
    error = await refusal(answer)
    assert (answer.status, error.code) == (404, "not_found")
    assert "/v1 at its end" in error.message
    assert route is None or f"The route is {route}." in error.message


def test_no_other_path_is_rewritten() -> None:
    paths = Paths(path for _, path, _ in app.ROUTES)
    for path in ("/", "/docs", "/console/1/a.js", "/v1/health", "/v1/embeddings/", "//evil.example/x", "/v1", "/v1/models/a%2Fb"):
        assert paths.meant(path) is None
    assert paths.meant("/models//a%2Fb/") == "/v1/models/a%2Fb"
