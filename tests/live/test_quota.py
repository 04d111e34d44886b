"""How much of the account's limits is used up: told by the CLI after an answer, and asked of it by an idle worker."""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from aiohttp import web

from codex_proxy import settings
from codex_proxy.codex import command
from codex_proxy.codex.command import Command
from codex_proxy.codex.open_threads import OpenThreads
from codex_proxy.codex.quota import Quota, Window
from codex_proxy.codex.worker import Worker
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.errors import WorkerFailed
from tests.conftest import TURN_LIMIT, Proxy, ProxyStarter
from tests.support.key_file import write_keys
from tests.support.machine import free_port

_HOUR = 3600
_LATER = int(time.time()) + _HOUR
_LIMITS = {
    "x-codex-primary-used-percent": "42",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": str(_LATER),
    "x-codex-secondary-used-percent": "7",
    "x-codex-secondary-window-minutes": "10080",
    "x-codex-secondary-reset-at": str(_LATER - 2 * _HOUR),  # in the past
}


async def test_the_operator_sees_the_windows_that_a_provider_tells_of_as_long_as_they_last(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str], tmp_path: Path
) -> None:
    bearers = write_keys(tmp_path / "keys.toml", {"anna": {}, "chief": {"operator": True}})
    environ["PROXY_API_KEYS_FILE"] = str(tmp_path / "keys.toml")
    model.headers = _LIMITS
    async with start_proxy() as proxy:
        assert await _told(proxy, bearers["chief"]) == []
        body = {"messages": [{"role": "user", "content": "hi"}]}
        answer = await proxy.http.post(f"{proxy.base_url}/chat/completions", json=body, headers=bearers["anna"])
        assert answer.status == 200
        window = {"limit": None, "used_percent": 42.0, "minutes": 300, "resets_at": _LATER}
        assert await _told(proxy, bearers["chief"]) == [window]
        assert await _told(proxy, bearers["anna"]) == []


async def test_an_idle_worker_asks_a_chatgpt_account_now_and_then(
    environ: dict[str, str], home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _backend(tmp_path) as (url, asked):
        config = (home.codex_home / "config.toml").read_text()
        (home.codex_home / "config.toml").write_text(f'chatgpt_base_url = "{url}"\n{config}requires_openai_auth = true\n')
        (home.codex_home / "auth.json").write_text(json.dumps(_login()))
        environ["SSL_CERT_FILE"] = str(tmp_path / "ca.pem")
        found, _ = settings.load(environ, home.root)
        quota = Quota()
        starting = Worker.started(command.find(found), found, asyncio.Lock(), OpenThreads(), "chat", quota=quota)
        async with asyncio.timeout(TURN_LIMIT), starting as worker:
            assert worker.facts.account == "chatgpt"
            while not quota.windows:
                assert await worker.lives()
            assert quota.windows == (Window(None, 42.0, 300, _LATER), Window(None, 84.0, 10080, _LATER + _HOUR))
            for _ in range(3):
                assert await worker.lives()
            assert asked.count("/backend-api/wham/usage") == 1
            write = worker._process.write_line

            async def ends(line: bytes) -> None:
                if b"rateLimits" in line:
                    raise WorkerFailed("The Codex CLI closed its input.")
                await write(line)

            monkeypatch.setattr(worker._process, "write_line", ends)
            monkeypatch.setattr(quota, "due", lambda _: True)
            assert not await worker.lives()
            assert worker.spent


async def test_a_worker_that_cannot_check_its_login_says_so(environ: dict[str, str], home: Home, cli: Command) -> None:
    if cli.version < (0, 163, 0):
        pytest.skip("it does not ask")
    config = (home.codex_home / "config.toml").read_text()
    nowhere = f"http://127.0.0.1:{free_port()}/backend-api/"
    (home.codex_home / "config.toml").write_text(f'chatgpt_base_url = "{nowhere}"\n{config}requires_openai_auth = true\n')
    (home.codex_home / "auth.json").write_text(json.dumps(_login()))
    found, _ = settings.load(environ, home.root)
    with pytest.raises(WorkerFailed, match="could not check its login with ChatGPT"):
        async with Worker.started(command.find(found), found, asyncio.Lock(), OpenThreads(), "chat"):
            pass


@pytest.mark.parametrize("content", [b"null", b'{"rateLimits": 7}', b'{"rateLimits": {"primary": {}}}', b"{}"])
def test_what_is_of_an_unknown_form_changes_nothing(content: bytes) -> None:
    quota = Quota()
    quota.hear(_raw({"rateLimits": {"limitId": "codex", "primary": {"usedPercent": 1}}}))
    quota.hear(msgspec.Raw(content))
    assert quota.windows == (Window(None, 1.0, None, None),)


def test_an_update_tells_of_one_limit_and_an_answer_of_all() -> None:
    quota = Quota()
    quota.hear(_raw({"rateLimits": {"limitId": "codex", "primary": {"usedPercent": 1}}}))
    quota.hear(_raw({"rateLimits": {"limitId": "other", "limitName": "Other", "secondary": {"usedPercent": 2}}}))
    quota.hear(_raw({"rateLimits": {"limitId": "codex"}}))  # nothing new
    assert list(quota.windows) == [Window(None, 1.0, None, None), Window("Other", 2.0, None, None)]
    quota.hear(_raw({"rateLimits": {}, "rateLimitsByLimitId": {"codex": {"primary": {"usedPercent": 3}}}}))
    assert list(quota.windows) == [Window(None, 3.0, None, None)]


def _raw(content: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(content))


async def _told(proxy: Proxy, bearer: dict[str, str]) -> Any:
    answer = await proxy.http.get(f"{proxy.address}/x_codex/status", headers=bearer)
    return (await answer.json())["quota"]


@asynccontextmanager
async def _backend(directory: Path) -> AsyncIterator[tuple[str, list[str]]]:
    """What the CLI asks of ChatGPT's, with TLS as it wants: its address, and what it was asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response(_ANSWERS.get(request.path.rpartition("/")[2], {}))

    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://localhost:{runner.addresses[0][1]}/backend-api/", asked
    finally:
        await runner.cleanup()


_ANSWERS: dict[str, Any] = {
    "check": {
        "accounts": [
            {
                "id": "acc",
                "plan_type": "plus",
                "workspace_backend_origin": "NO_CONSTRAINT",
                "account_routing_override": "NO_CONSTRAINT",
            }
        ],
        "account_ordering": ["acc"],
        "default_account_id": "acc",
    },
    "usage": {
        "user_id": "u",
        "account_id": "acc",
        "email": "anna@example.com",
        "plan_type": "plus",
        "rate_limit": {
            "allowed": True,
            "limit_reached": False,
            "primary_window": {
                "used_percent": 42,
                "limit_window_seconds": 18_000,
                "reset_after_seconds": _HOUR,
                "reset_at": _LATER,
            },
            "secondary_window": {
                "used_percent": 84,
                "limit_window_seconds": 604_800,
                "reset_after_seconds": 2 * _HOUR,
                "reset_at": _LATER + _HOUR,
            },
        },
    },
}


def _login() -> dict[str, Any]:
    """An auth.json as after a login with ChatGPT."""
    of_openai = {"chatgpt_plan_type": "plus", "chatgpt_account_id": "acc", "chatgpt_user_id": "u"}
    claims = {"email": "anna@example.com", "https://api.openai.com/auth": of_openai, "exp": _LATER + 1_000_000}
    token = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "none"}, claims, "x")
    )
    tokens = {"id_token": token, "access_token": token, "refresh_token": "r", "account_id": "acc"}
    return {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": "2026-11-25T00:00:00Z"}
