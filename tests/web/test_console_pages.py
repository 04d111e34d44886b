"""The console's pages as a browser gets them: what they weigh, how they are cached, what they may load, and who may ask."""

import gzip
import re
from collections.abc import AsyncIterator

import aiohttp
import pytest

from codex_proxy.web.console import pages
from tests.conftest import Proxy, ProxyStarter
from tests.support.sessions import http_session

_BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
_BUDGET = 80_000  # bytes of the console, before compression


@pytest.fixture
async def served(environ: dict[str, str], start_proxy: ProxyStarter) -> AsyncIterator[Proxy]:
    environ |= {"PROXY_STORE": "memory", "CODEX_MAX_PARALLEL_REQUESTS": "1"}
    async with start_proxy() as proxy:
        yield proxy


async def page(proxy: Proxy, path: str = "/", **headers: str) -> aiohttp.ClientResponse:
    return await proxy.http.get(proxy.address + path, headers=_BROWSER | headers)


async def addresses(proxy: Proxy, path: str = "/") -> list[str]:
    """What a page loads, and what that loads."""
    text = await (await page(proxy, path)).text()
    found = dict.fromkeys(re.findall(r'(?:src|href)="(console/[^"]+)"', text))
    for one in list(found):
        if one.endswith(".js"):
            source = await (await page(proxy, f"/{one}")).text()
            found |= dict.fromkeys(f"{one.rpartition('/')[0]}/{name}" for name in re.findall(r'from "\./([a-z]+\.js)"', source))
    return list(found)


async def test_a_browser_gets_a_page_and_a_program_json(served: Proxy) -> None:
    answer = await page(served)
    assert (answer.status, answer.content_type) == (200, "text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.split("; ")[0] == "default-src 'none'"
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    text = await answer.text()
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|https?://", text)
    told = await served.http.get(f"{served.address}/")
    assert (told.content_type, (await told.json())["docs"]) == ("application/json", "docs")


async def test_all_that_the_console_loads_is_small_and_cached_for_ever(served: Proxy) -> None:
    index = await page(served)
    weight = len(await index.read())
    for address in await addresses(served):
        answer = await page(served, f"/{address}")
        assert answer.status == 200, address
        assert "immutable" in answer.headers["Cache-Control"]
        weight += len(await answer.read())
    assert 40_000 < weight < _BUDGET
    assert index.headers["Cache-Control"] == "no-cache"
    for path in ("/", f"/{address}"):
        etag = (await page(served, path)).headers["ETag"]
        again = await page(served, path, **{"If-None-Match": etag})
        assert (again.status, await again.read()) == (304, b"")


async def test_a_file_is_the_same_compressed_and_another_versions_is_not_kept(served: Proxy) -> None:
    [address] = [one for one in await addresses(served) if one.endswith("main.js")]
    async with http_session(auto_decompress=False) as plain:
        squeezed = await plain.get(f"{served.address}/{address}", headers={"Accept-Encoding": "gzip"})
        assert squeezed.headers["Content-Encoding"] == "gzip"
        whole = await plain.get(f"{served.address}/{address}", headers={"Accept-Encoding": "identity"})
        assert gzip.decompress(await squeezed.read()) == await whole.read()
    old = await page(served, f"/console/0123456789abcdef/{address.rpartition('/')[2]}")
    assert (old.status, old.headers["Cache-Control"]) == (200, "no-cache")
    for name in ("index.html", "nothing.js", "..%2Fpages.py", "%2Fetc%2Fpasswd"):
        assert (await page(served, f"/console/{pages.version()}/{name}")).status == 404


async def test_the_reference_has_what_it_needs(served: Proxy) -> None:
    answer = await page(served, "/docs")
    assert (answer.status, answer.content_type) == (200, "text/html")
    for address in await addresses(served, "/docs"):
        assert (await page(served, f"/{address}")).status == 200


async def test_a_page_of_our_own_origin_needs_no_setting_and_anothers_stays_out(served: Proxy) -> None:
    own = served.address
    port = own.rpartition(":")[2]
    for origin, site, status in [
        (own, None, 200),
        (own, "same-origin", 200),
        (f"http://localhost:{port}", None, 403),
        ("http://127.0.0.1:1", None, 403),
        (own, "cross-site", 403),
        (own, "same-site", 403),
        ("null", None, 403),
        (f"file://127.0.0.1:{port}", None, 403),
    ]:
        headers = {"Origin": origin} | ({"Sec-Fetch-Site": site} if site else {})
        answer = await served.http.get(f"{own}/v1/models", headers=headers)
        assert answer.status == status, (origin, site)
    answer = await served.http.get(f"{own}/v1/models", headers={"Origin": "http://evil.example", "Host": "evil.example"})
    assert answer.status == 421


async def test_a_setting_takes_the_pages_away_and_leaves_the_routes(environ: dict[str, str], start_proxy: ProxyStarter) -> None:
    environ["PROXY_CONSOLE"] = "0"
    async with start_proxy() as proxy:
        for path in ("/", "/docs", f"/console/{pages.version()}/main.js"):
            assert (await page(proxy, path)).status == 404
        assert (await page(proxy, "/x_codex/status")).status == 200
