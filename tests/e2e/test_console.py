"""The console in Debian's Chromium, as a person uses it: every place and state, hostile answers, two keys, keys alone, 360 pixels.

With CONSOLE_PICTURES=DIR the pictures of all places and states are written there.
"""

import asyncio
import base64
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.web.console import pages
from tests.clients.test_node_sdk import output_of
from tests.conftest import TURN_LIMIT, Proxy, ProxyStarter
from tests.e2e import console_script
from tests.e2e.devtools import Browser, Page, browsing
from tests.support.key_file import write_keys
from tests.support.pictures import PIXEL

_PICTURES = os.environ.get("CONSOLE_PICTURES")


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with browsing(tmp_path / "profile") as started:
        yield started


@pytest.fixture
async def console(start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer, home: Home) -> AsyncIterator[Proxy]:
    """A server whose turns may write, with something to write on."""
    model.script = console_script.script
    (home.workdir / "greet.py").write_text('def greet():\n    print("hello")\n')
    environ |= {"CODEX_SANDBOX_MODE": "workspace-write", "PROXY_STORE": "memory"}
    async with start_proxy() as proxy:
        yield proxy


async def pictured(page: Page, name: str) -> None:
    """Every look of a state, where somebody wants to see them."""
    if _PICTURES is None:
        return
    for look, options in {"light": {}, "dark": {"dark": True}, "narrow": {"width": 360, "height": 720}}.items():
        await page.look(**options)  # type: ignore[arg-type]
        await asyncio.sleep(0.15)
        await page.picture(Path(_PICTURES) / f"{name}-{look}.png")
    await page.look()


async def ask(page: Page, text: str) -> None:
    await page.until(
        "document.querySelector('.composer select')?.options.length > 0 && !document.querySelector('.answer[aria-busy]')"
    )
    await page.run("document.querySelector('.composer textarea').focus()")
    await page.type(text)
    await page.press("Enter")


async def answered(page: Page, number: int = 1) -> None:
    await page.until(f"document.querySelectorAll('.answer:not([aria-busy])').length >= {number}")


async def test_a_first_visit_from_ready_to_an_answer_with_its_work(console: Proxy, browser: Browser) -> None:
    page = await browser.tab()
    await page.go(f"{console.address}/")
    await page.sees("Ready.")
    await pictured(page, "now")
    await page.click('a[href="#playground"]')
    await page.sees("Ask Codex something")
    await pictured(page, "playground-empty")
    await ask(page, "Please work: greet by name, and run the tests")
    await page.sees("What changed is written down")
    await answered(page)
    text = await page.run("document.querySelector('.answer').innerText")
    for shown in ("$ cat greet.py", "exit code 0", "greet.py +2 −2", "notes.md +2 −0", "16,896 cached"):
        assert shown in text, text
    for number in range(await page.run("document.querySelectorAll('details.work').length")):
        await page.run(f"document.querySelectorAll('details.work')[{number}].open = true")
    await page.sees("12 passed in 0.4s")
    await page.until(
        "document.querySelectorAll('pre.diff .plus').length === 4 && document.querySelectorAll('pre.diff .minus').length === 2"
    )
    await pictured(page, "playground")
    await page.click(".tools button")
    await page.sees("client.responses.create")
    await pictured(page, "playground-code")
    foot = await page.run("document.querySelector('.answer .foot').innerText")
    assert re.search(r"\b\d+\.\d s\b", foot), foot
    assert page.errors == []
    assert all(asked.startswith(console.address) for asked in page.asked)


async def test_a_turn_is_stopped_with_escape_and_goes_on_after_a_reload(console: Proxy, browser: Browser) -> None:
    page = await browser.tab()
    await page.go(f"{console.address}/#playground")
    await ask(page, "count")
    await page.until("/t5 /.test(document.querySelector('.answer')?.innerText)")
    await page.send("Page.reload")
    await page.until("/t8 /.test(document.querySelector('.answer')?.innerText)")  # the same turn, still under way
    await answered(page)
    text = await page.run("document.querySelector('.answer .prose').innerText")
    assert text.split() == [f"t{number}" for number in range(60)]
    await ask(page, "sleep")
    await page.sees("$ sleep 30")
    assert await page.run("document.querySelector('.work .verb').innerText") == "running"
    await page.run("location.hash = '#now'")
    await page.until("document.querySelector('.doing')?.innerText === '$ sleep 30'")
    await page.until("/0:0[1-9]/.test(document.querySelector('.turn-row .time').innerText)")
    await pictured(page, "now-running")
    await page.run("location.hash = '#playground'")
    await page.press("Escape")
    await page.sees("Stopped.")
    await answered(page, 2)
    row = await page.run("document.querySelector('.work summary').innerText")
    assert (row.split()[0], "stopped" in row, "running" in row) == ("ran", True, False)
    assert page.errors == []


async def test_enter_while_a_turn_runs_sends_the_text_after_it(console: Proxy, browser: Browser, model: ModelServer) -> None:
    page = await browser.tab()
    await page.go(f"{console.address}/")  # Now is made first, and its rows while it is not shown
    await page.sees("Ready.")
    await page.run("location.hash = '#playground'")
    await ask(page, "count")
    await page.until("/t5 /.test(document.querySelector('.answer')?.innerText)")
    await page.type("and then")
    await page.press("Enter")
    await page.sees("Sent when the answer is done.")
    await page.run("location.hash = '#now'")
    await page.until("/0:0[1-9]/.test(document.querySelector('.turn-row .time').innerText)")
    await page.run("location.hash = '#playground'")
    await answered(page, 2)
    assert [request.prompt for request in model.requests] == ["count", "and then"]
    assert await page.run("document.querySelector('.composer textarea').value") == ""
    assert page.errors == []


async def test_the_history_is_searched_opened_forked_and_deleted_from(console: Proxy, browser: Browser) -> None:
    first = await (await console.http.post(f"{console.base_url}/responses", json={"input": "the first question"})).json()
    second = {"input": "a second one", "previous_response_id": first["id"]}
    last = await (await console.http.post(f"{console.base_url}/responses", json=second)).json()
    page = await browser.tab()
    await page.go(f"{console.address}/#history")
    await page.until("document.querySelectorAll('.kept > li').length === 1")  # one conversation
    assert await page.run("document.querySelectorAll('.kept > li a').length") == 2
    await page.click(".kept summary")
    await page.sees("the first question")
    await page.sees("1 earlier turn")
    await pictured(page, "history")
    await page.run("document.querySelector('.filters input').focus()")
    await page.type("FIRST question")
    await page.until("document.querySelectorAll('.kept a').length === 1")
    await page.click(f'a[href="#history/{first["id"]}"]')
    await page.sees("Hello from the scripted model.")
    await page.run(f"location.hash = '#history/{last['id']}'")
    await page.until("document.querySelectorAll('.opened .turn').length === 2")
    await pictured(page, "history-open")
    await page.click(f'.opened a[href="#playground/{first["id"]}"]')
    await page.until("document.querySelectorAll('.log .turn').length === 1")
    await ask(page, "another way on")
    await answered(page, 2)
    forked = await page.until("sessionStorage.getItem('codex-proxy.open')")
    assert await page.run("location.hash") == "#playground"  # a reload shows what came after, not the fork
    shown = await (await console.http.get(f"{console.base_url}/responses/{forked}")).json()
    assert shown["previous_response_id"] == first["id"]
    await page.run(f"location.hash = '#history/{last['id']}'")
    await page.click(".opened button.bad")
    await page.sees("Delete for good?")
    await page.click(".opened button.bad")
    await page.sees("Choose a response")
    assert (await console.http.get(f"{console.base_url}/responses/{last['id']}")).status == 404
    assert page.errors == []


async def test_an_image_is_attached_taken_away_and_sent(
    console: Proxy, browser: Browser, model: ModelServer, tmp_path: Path
) -> None:
    picture = tmp_path / "pixel.png"
    picture.write_bytes(base64.b64decode(PIXEL.partition(",")[2]))
    page = await browser.tab()
    await page.go(f"{console.address}/#playground")
    await page.until("document.querySelector('.composer select')?.options.length > 0")
    await page.choose('.composer input[type="file"]', Path(__file__))
    await page.sees("Only images can be attached.")
    await page.choose('.composer input[type="file"]', picture)
    await page.until("document.querySelectorAll('.images img').length === 1")
    await page.click(".images button")
    await page.until("document.querySelectorAll('.images img').length === 0")
    await page.choose('.composer input[type="file"]', picture)
    await page.until("document.querySelector('.images img')?.naturalWidth === 1")
    await pictured(page, "playground-image")
    await ask(page, "what is this?")
    await answered(page)
    assert await page.run("document.querySelector('.said img').naturalWidth") == 1
    assert await page.run("document.querySelectorAll('.images img').length") == 0
    [said] = [item["content"] for item in model.requests[-1].input if "what is this?" in json.dumps(item)]
    assert {"input_text": "what is this?"}.items() <= {part["type"]: part.get("text") for part in said}.items()
    [image] = [part for part in said if part["type"] == "input_image"]
    assert image["image_url"].startswith("data:image/")
    await ask(page, "and now?")  # the image goes with one message only, and stays in the conversation
    await answered(page, 2)
    assert json.dumps(model.requests[-1].input).count("data:image/") == 1
    assert page.errors == []


async def test_what_a_hostile_model_says_is_text(console: Proxy, browser: Browser) -> None:
    page = await browser.tab()
    await page.go(f"{console.address}/#playground")
    await ask(page, "hostile")
    await answered(page)
    title = await page.run("document.title")
    for tag in ("img", "script", "svg:not(.icon)", "iframe", "b"):
        assert await page.run(f"document.querySelectorAll('.answer .prose {tag}').length") == 0
    assert await page.run("[...document.querySelectorAll('.answer a')].map((one) => one.href)") == [
        "https://example.com/a",
        "https://example.com/b",
    ]
    text = await page.run("document.querySelector('.answer .prose').textContent")
    assert "<img src=x onerror=" in text
    assert "javascript:document.title" in text  # as text
    assert "(example.com)" in text
    assert not any(sign in text for sign in ("\x1b", "\u202e", "\x07", "\u061c"))
    assert "می\u200cخواهم" in text
    assert await page.run("document.querySelector('.answer strong code').textContent") == "bold code"
    cells = await page.run("[...document.querySelectorAll('.answer :is(th, td)')].map((one) => one.textContent)")
    assert cells == ["name", "what", "a | b", "<img src=x onerror=\"document.title='owned'\">"]
    assert await page.run("[...document.querySelectorAll('.answer .prose > p')].map((one) => getComputedStyle(one).direction)") == [
        *("ltr", "ltr", "ltr", "rtl")
    ]
    await ask(page, "long line")
    await answered(page, 2)
    await page.run("document.querySelector('details.work').open = true")
    await page.sees("Show all (1,000 kB)")
    assert await page.run("document.querySelector('pre.output').textContent.length") < 30_000
    assert await page.run("document.documentElement.scrollWidth <= innerWidth")
    assert await page.run("document.title") == title
    assert page.errors == []
    assert all(asked.startswith(console.address) for asked in page.asked)


async def test_no_script_that_gets_into_the_page_runs(console: Proxy, browser: Browser) -> None:
    """The policy is the second wall: what the first let through would still do nothing."""
    page = await browser.tab()
    await page.go(f"{console.address}/")
    await page.sees("Ready.")
    await page.run(
        "document.body.insertAdjacentHTML('beforeend', `<img src='https://example.com/x.png' onerror='window.owned = 1'>"
        "<iframe src='https://example.com/'></iframe><form action='https://example.com/'><button id=go></button></form>`);"
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.owned = 2'}));"
        "document.getElementById('go').click()"
    )
    await page.run("fetch('https://example.com/').catch(() => null)")
    assert await page.run("window.owned === undefined")
    assert sum("Content Security Policy" in error for error in page.errors) >= 5, page.errors


async def test_odd_addresses_and_a_stranger_in_the_servers_place_leave_the_page_whole(console: Proxy, browser: Browser) -> None:
    """As a gateway is that answers 200 and a page to log in to everything: it is not asked again at once, for ever."""
    page = await browser.tab()
    await page.go(f"{console.address}/#now%")
    await page.sees("Ready.")
    await page.run("localStorage.setItem('codex-proxy.choices', '{'); location.hash = '#%E0%A4%A'")
    await page.sees("Ready.")
    await page.run("location.hash = '#playground'")
    await page.until("document.querySelector('.composer select')?.options.length > 0")
    assert page.errors == []
    await page.run(
        "window.asked = 0; window.fetch = async () => { window.asked += 1; return new Response('<h1>Log in</h1>'); };"
        f" import('./console/{pages.version()}/live.js').then((live) => live.again())"
    )
    await page.sees("The connection is lost.")
    assert await page.run("window.asked") < 5


@pytest.mark.parametrize("width", [1200, 360])
async def test_everything_can_be_done_with_the_keyboard_alone(console: Proxy, browser: Browser, width: int) -> None:
    page = await browser.tab()
    await page.look(width=width, height=720)
    await page.go(f"{console.address}/")
    await page.sees("Ready.")
    for _ in range(12):
        await page.press("Tab")
        if await page.run("document.activeElement?.getAttribute('href') === '#playground'"):
            break
    await page.press("Enter")
    await page.until("document.activeElement?.tagName === 'TEXTAREA'")
    await page.type("work")
    await page.press("Enter")
    await page.sees("What changed is written down")
    await answered(page)
    for _ in range(40):
        await page.press("Tab", shift=True)
        if await page.run("document.activeElement?.tagName === 'SUMMARY'"):
            break
    assert await page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    await page.press("Space")
    await page.until("document.querySelector('details.work[open]')")
    assert await page.run("document.documentElement.scrollWidth <= innerWidth")
    assert page.errors == []


async def test_a_key_is_asked_for_and_a_wrong_one_told(
    environ: dict[str, str], start_proxy: ProxyStarter, browser: Browser
) -> None:
    environ |= {"PROXY_API_KEY": "sk-right", "PROXY_STORE": "memory"}
    async with start_proxy() as proxy:
        page = await browser.tab()
        await page.go(f"{proxy.address}/#playground")
        await page.sees("This server needs a key")
        await pictured(page, "no-key")
        await page.until("document.activeElement?.type === 'password'")
        await page.type("sk-wrong")
        await page.press("Enter")
        await page.sees("The server does not know this key.")
        await pictured(page, "wrong-key")
        await page.run("document.querySelector('input[type=password]').focus()")
        await page.type("sk-right")
        await page.press("Enter")
        await ask(page, "hello")
        await page.sees("Hello from the scripted model.")
        await answered(page)
        assert not any("sk-" in asked for asked in page.asked)
        kept = await page.run("JSON.stringify(localStorage) + document.cookie + location.href")
        assert "sk-right" not in kept
        other = await browser.tab()
        await other.go(f"{proxy.address}/")
        await other.sees("This server needs a key")


async def test_a_server_that_goes_and_comes_back_is_told_and_found_again(
    environ: dict[str, str], start_proxy: ProxyStarter, browser: Browser
) -> None:
    page = await browser.tab()
    environ["PROXY_STORE"] = "memory"
    async with start_proxy() as proxy:
        environ["PROXY_PORT"] = proxy.address.rpartition(":")[2]
        await page.go(f"{proxy.address}/")
        await page.sees("Ready.")
    await page.sees("The connection is lost.")
    await pictured(page, "gone")
    await page.run("location.hash = '#history'")
    await page.sees("The server does not answer.")
    async with start_proxy():
        await page.sees("Nothing is stored yet.")
        await page.until("!document.querySelector('.banner')?.checkVisibility() && document.body.innerText.includes('ready')")


async def test_a_server_without_a_login_says_what_to_do(
    environ: dict[str, str], start_proxy: ProxyStarter, home: Home, browser: Browser
) -> None:
    (home.codex_home / "config.toml").write_text("")
    environ["PROXY_STORE"] = "memory"
    async with start_proxy() as proxy:
        page = await browser.tab()
        await page.go(f"{proxy.address}/")
        await page.sees("Not logged in.")
        await pictured(page, "no-login")
        await page.run("location.hash = '#playground'")
        await ask(page, "hello")
        await page.sees("Codex is not logged in on this server")
        await page.sees("Try again")
        await pictured(page, "playground-failed")


async def test_two_keys_see_nothing_of_each_other_and_the_operator_the_turns_of_both(
    environ: dict[str, str], start_proxy: ProxyStarter, model: ModelServer, browser: Browser, tmp_path: Path
) -> None:
    model.script = console_script.script
    file = tmp_path / "keys.toml"
    keys = write_keys(file, {"anna": {}, "boris": {}, "chief": {"operator": True}})
    environ |= {"PROXY_API_KEYS_FILE": str(file), "PROXY_STORE": "memory"}
    async with start_proxy() as proxy:
        pages = {}
        for name, bearer in keys.items():
            pages[name] = await browser.tab()
            await pages[name].go(f"{proxy.address}/health")
            await pages[name].run(f"sessionStorage.setItem('codex-proxy.key', {json.dumps(bearer['Authorization'][7:])})")
            await pages[name].go(f"{proxy.address}/#now")
            await pages[name].sees("Ready.")
        for name in ("anna", "boris"):
            await pages[name].front()
            await pages[name].run("location.hash = '#playground'")
            await ask(pages[name], f"sleep, says {name}")
            await pages[name].sees("$ sleep 30")
            await pages[name].run("location.hash = '#now'")
            await pages[name].sees(f"{name} (you)")
        await pages["chief"].front()
        await pages["chief"].until("document.querySelectorAll('.turn-row .stop').length === 2")
        await pictured(pages["chief"], "now-operator")
        assert {"anna", "boris"} <= set((await pages["chief"].run("document.querySelector('.turns').innerText")).split())
        assert "says" not in await pages["chief"].run("document.body.innerText")
        for name, other in (("anna", "boris"), ("boris", "anna")):
            await pages[name].front()
            assert await pages[name].run("document.querySelectorAll('.turn-row .stop').length") == 1
            assert other not in await pages[name].run("document.body.innerText")
        ids = {name: await pages[name].run("sessionStorage.getItem('codex-proxy.open')") for name in ("anna", "boris")}
        await pages["chief"].front()
        assert pages["chief"].asked.count(f"{proxy.address}/x_codex/events") > 1  # a tab behind others keeps no connection busy
        await pages["chief"].click(".turn-row .stop")
        await pages["chief"].until("document.querySelectorAll('.turn-row .stop').length === 1")
        await pages["chief"].click(".turn-row .stop")
        await pages["chief"].sees("No turn is running.")
        for name, other in (("anna", "boris"), ("boris", "anna"), ("chief", "anna")):
            await pages[name].front()
            await pages[name].run(f"location.hash = '#history/{ids[other]}'")
            await pages[name].sees("not found")
            await pages[name].until("document.querySelector('.kept a, .listing .empty:not(:empty)')")
            listed = await pages[name].run("document.querySelector('.listing').innerText")
            assert f"says {other}" not in listed


async def test_the_last_request_runs_as_curl_and_as_python(console: Proxy, model: ModelServer, browser: Browser) -> None:
    awkward = 'it\'s "quoted", $HOME `id` \\n ü 日本 🎈\nand two lines'
    page = await browser.tab()
    await page.go(f"{console.address}/#playground")
    await ask(page, awkward)
    await answered(page)
    await page.click(".tools button")
    await page.sees("As Python")
    curl, python = await page.run("[...document.querySelectorAll('dialog code')].map((one) => one.textContent)")
    for command in (("bash", "-c", curl), (sys.executable, "-c", python)):
        code, output, problems = await output_of(*command, cwd=Path.cwd(), limit=TURN_LIMIT)
        assert (code, "Hello from the scripted model." in output) == (0, True), problems
    assert [request.prompt for request in model.requests] == [awkward] * 3


async def test_a_plan_a_search_and_a_call_of_a_server_have_rows_too(console: Proxy, browser: Browser) -> None:
    """Of kinds that the CLI of today does not make with the scripted model."""
    page = await browser.tab()
    await page.go(f"{console.address}/")
    await page.sees("Ready.")
    plan = {"plan": [{"step": "Read", "status": "completed"}, {"step": "<b>Write</b>", "status": "in_progress"}, {"step": "Test"}]}
    items = [
        {"type": "mcp_call", "id": "1", "name": "update_plan", "status": "completed", "arguments": json.dumps(plan)},
        {"type": "web_search_call", "id": "2", "status": "completed", "action": {"type": "search", "query": "cats"}},
        {
            "type": "web_search_call",
            "id": "3",
            "status": "completed",
            "action": {"type": "open_page", "url": "javascript:alert(1)"},
        },
        {
            "type": "mcp_call",
            "id": "4",
            "name": "docs.find",
            "status": "failed",
            "arguments": "{}",
            "error": {"content": [{"text": "gone"}]},
        },
        {"type": "mcp_call", "id": "5", "name": "shell", "status": "failed", "arguments": "not JSON", "output": "x"},
    ]
    told = await page.run(
        f"import('./console/{pages.version()}/work.js').then((work) => {json.dumps(items)}.map((item) => {{"
        " const row = work.workRow(item, null); document.querySelector('main').append(row); return row.innerText; }))"
    )
    assert "Plan, 1 of 3 done" in told[0]
    assert "<b>Write</b>" in told[0]
    assert [
        label
        for label in ("done", "in progress", "to do")
        if await page.run(f"Boolean(document.querySelector('.plan [aria-label=\"{label}\"]'))")
    ] == ["done", "in progress", "to do"]
    assert told[1].split() == ["searched", "cats"]
    assert await page.run("document.querySelectorAll('.work a').length") == 0
    assert "gone" in told[3]
    assert "shell" in told[4]


async def test_ten_thousand_tokens_leave_the_page_still(console: Proxy, browser: Browser) -> None:
    page = await browser.tab()
    await page.go(f"{console.address}/#playground")
    await page.run(
        "window.shifts = []; new PerformanceObserver((list) => list.getEntries().forEach((one) => window.shifts.push("
        "[one.value, ...one.sources.map(({node}) => node?.className || node?.nodeName)])))"
        ".observe({type: 'layout-shift', buffered: true})"
    )
    await ask(page, "stream")
    await answered(page)
    text = await page.run("document.querySelector('.answer .prose').innerText")
    assert text.split() == [f"word{number}" for number in range(10_000)]
    assert await page.run("document.querySelectorAll('.answer .prose p').length") > 100
    assert page.errors == []
    shifts = await page.run("window.shifts")
    assert sum(shift[0] for shift in shifts) <= 0.02, shifts
