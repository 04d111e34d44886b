"""The console under a path of nginx and of Caddy, with the configurations of docs/CONSOLE.md."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import ProxyStarter
from tests.e2e.devtools import browsing
from tests.e2e.front import NAME, running
from tests.support.machine import free_port

_DOCUMENT = Path(__file__).parents[2] / "docs" / "CONSOLE.md"
Start = Callable[[Path, str, int], AbstractAsyncContextManager[None]]


def _example(language: str, address: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", _DOCUMENT.read_text(), re.DOTALL)
    assert text.count("127.0.0.1:8000") == 1
    return str(text).replace("127.0.0.1:8000", urlsplit(address).netloc)


@asynccontextmanager
async def nginx(directory: Path, address: str, port: int) -> AsyncIterator[None]:
    paths = "".join(f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    server = f"server {{ listen 127.0.0.1:{port}; server_name {NAME}; {_example('nginx', address)} }}"
    config = directory / "nginx.conf"
    main = f"daemon off; master_process off; pid {directory}/pid; error_log stderr; events {{}}"
    config.write_text(f"{main} http {{ access_log off; {paths} {server} }}")
    async with running("nginx", "-e", "stderr", "-c", config, "-p", directory, port=port):
        yield


@asynccontextmanager
async def caddy(directory: Path, address: str, port: int) -> AsyncIterator[None]:
    config = directory / "Caddyfile"
    config.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\nhttp://{NAME}:{port} {{\n{_example('caddy', address)}\n}}\n")
    arguments = ("run", "--config", config, "--adapter", "caddyfile")
    async with running("caddy", *arguments, port=port, environ={"HOME": str(directory)}):
        yield


@pytest.mark.slow
@pytest.mark.parametrize("start", [nginx, caddy], ids=lambda start: start.__name__)
async def test_the_console_works_under_a_path(
    start: Start, start_proxy: ProxyStarter, environ: dict[str, str], tmp_path: Path
) -> None:
    environ |= {"PROXY_ALLOWED_HOSTS": NAME, "PROXY_STORE": "memory", "CODEX_MAX_PARALLEL_REQUESTS": "1"}
    port = free_port()
    site = f"http://{NAME}:{port}"
    async with (
        start_proxy() as proxy,
        start(tmp_path, proxy.address, port),
        browsing(tmp_path / "profile", {NAME: port}) as browser,
    ):
        page = await browser.tab()
        await page.go(f"{site}/codex")
        await page.sees("Ready.")
        assert await page.run("location.href") == f"{site}/codex/"
        await page.click('a[href="#playground"]')
        await page.until("document.querySelector('.composer select')?.options.length > 0")
        await page.run("document.querySelector('.composer textarea').focus()")
        await page.type("hello")
        await page.press("Enter")
        await page.sees("Hello from the scripted model.")
        await page.click('a[href="#connect"]')
        await page.sees(f"{site}/codex/v1")
        await page.click(".rail-foot a")
        await page.sees("API reference")
        await page.sees("/x_codex/events")
        assert page.errors == []
        assert {asked for asked in page.asked if not asked.startswith(f"{site}/codex/")} <= {f"{site}/codex"}
