"""What maintained tools from npm find in the console: axe-core in every place and look, TypeScript in its modules."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from codex_proxy.demo.model import ModelServer
from tests.clients.test_node_sdk import missing, output_of
from tests.conftest import ProxyStarter
from tests.e2e import console_script
from tests.e2e.devtools import Page, browsing

_CONSOLE = Path(__file__).parents[2] / "codex_proxy" / "web" / "console"
_INSTALL_LIMIT = 90.0  # seconds
_CHECK_LIMIT = 120.0

pytestmark = pytest.mark.xdist_group("console tools")


async def installed(package: str, directory: Path) -> Path:
    """The directory of an npm package. The test is skipped where there is no npm or no registry."""
    npm = shutil.which("npm")
    if npm is None:
        missing("npm is not installed")
    assert npm is not None
    (directory / "package.json").write_text('{"private": true}')
    install = (npm, "install", "--no-audit", "--no-fund", "--no-package-lock", package)
    code, _, problems = await output_of(*install, cwd=directory, limit=_INSTALL_LIMIT)
    if code != 0:
        missing(f"the npm package {package} is not installed: {problems[-300:]}")
    return directory / "node_modules" / package.partition("@")[0]


@pytest.mark.slow
async def test_the_modules_have_the_types_that_they_say(tmp_path: Path) -> None:
    package = await installed("typescript@5.9", tmp_path)
    check = ("node", str(package / "bin" / "tsc"), "-p", str(_CONSOLE))
    code, found, problems = await output_of(*check, cwd=tmp_path, limit=_CHECK_LIMIT)
    assert (code, found, problems) == (0, "", "")


async def findings(page: Page, axe: str) -> list[str]:
    await page.run(axe)
    found = await page.run("axe.run(document, {resultTypes: ['violations']}).then((told) => JSON.stringify(told.violations))")
    return [
        f"{one['impact']}: {one['id']}: {one['help']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for one in json.loads(found)
        for node in one["nodes"]
    ]


@pytest.mark.slow
async def test_axe_finds_nothing_in_any_place_and_look(
    start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer, tmp_path: Path
) -> None:
    package = await installed("axe-core@4", tmp_path)
    axe = await asyncio.to_thread((package / "axe.min.js").read_text)
    model.script = console_script.script
    environ |= {"PROXY_STORE": "memory", "CODEX_SANDBOX_MODE": "workspace-write"}
    found: dict[str, list[str]] = {}
    async with start_proxy() as proxy, browsing(tmp_path / "profile") as browser:
        page = await browser.tab()
        await proxy.http.post(f"{proxy.base_url}/responses", json={"input": "work"})
        [kept] = (await (await proxy.http.get(f"{proxy.address}/x_codex/responses")).json())["data"]
        running = asyncio.ensure_future(proxy.http.post(f"{proxy.base_url}/responses", json={"input": "sleep"}))
        await page.go(f"{proxy.address}/")
        await page.sees("$ sleep 30")
        places = {"now": "sleep 30", "history": "Choose a response", "connect": "LangChain", "playground": "As code"}
        places |= {f"{place}/{kept['id']}": "What changed" for place in ("history", "playground")}
        for dark in (False, True):
            for place, text in places.items():
                await page.look(dark=dark)
                await page.run(f"location.hash = '#{place}'")
                await page.sees(text)
                await page.run("document.querySelectorAll('details.work').forEach((one) => { one.open = true; })")
                found[f"{place} {dark=}"] = await findings(page, axe)
        await page.look(width=360, height=720)
        found["narrow"] = await findings(page, axe)
        await page.go(f"{proxy.address}/docs")
        await page.sees("API reference")
        await page.until("document.querySelector('.route')")
        found["docs"] = await findings(page, axe)
        for turn in (await (await proxy.http.get(f"{proxy.address}/x_codex/status")).json())["turns"]:
            await proxy.http.post(f"{proxy.address}/x_codex/turns/{turn['id']}/cancel")
        await running
    assert {place: told for place, told in found.items() if told} == {}
