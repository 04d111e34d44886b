"""Without a login no turn can run; with one it can, without a restart. The CLI's own provider, and no network needed."""

import asyncio
import json

from codex_proxy.demo.home import Home
from tests.conftest import ProxyStarter


async def test_a_server_without_a_login_says_so_and_is_ready_soon_after_one(
    start_proxy: ProxyStarter, home: Home, environ: dict[str, str]
) -> None:
    (home.codex_home / "config.toml").write_text('model = "gpt-5.5"\n')
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "1"
    async with start_proxy() as proxy:
        ready = await proxy.http.get(f"{proxy.address}/ready")
        assert (ready.status, (await ready.json())["reason"]) == (503, "Codex is not logged in")
        refused = await proxy.chat(prompt="hi")
        assert (refused.status, (await refused.json())["error"]["code"]) == (503, "not_ready")
        assert (refused.headers.get("x-should-retry"), "Retry-After" in refused.headers) == ("false", False)
        assert "Try again" not in await refused.text()
        (home.codex_home / "auth.json").write_text(json.dumps({"OPENAI_API_KEY": "sk-test", "auth_mode": "apikey"}))
        async with asyncio.timeout(10):
            while (await proxy.http.get(f"{proxy.address}/ready")).status != 200:
                await asyncio.sleep(0)
