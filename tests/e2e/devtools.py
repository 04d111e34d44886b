"""A page in Debian's Chromium without a window, driven by the DevTools protocol. A test is skipped where the program is missing.

Where browser.py has a page do its own work, here a test does what a person does: looks, types, clicks.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.browser import QUIET
from tests.support.sessions import http_session

LIMIT = 60.0  # seconds for what takes a fraction of one: the machines are noisy
_KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "Space": 32, "ArrowDown": 40}


class Page:
    """One tab. `errors`: what its console complained of and its code threw; `asked`: every address that it asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}  # Any: of each command its own answer
        self.errors: list[str] = []
        self.asked: list[str] = []

    async def send(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(LIMIT):
            return await answer

    async def listen(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if (waiting := self._waiting.pop(told.get("id"), None)) is not None and not waiting.done():
                if "error" in told:
                    waiting.set_exception(AssertionError(f"DevTools: {told['error']}"))
                else:
                    waiting.set_result(told["result"])
            self._note(told.get("method", ""), told.get("params", {}))

    def _note(self, method: str, params: dict[str, Any]) -> None:
        match method:
            case "Runtime.exceptionThrown":
                detail = params["exceptionDetails"]
                self.errors.append(detail.get("exception", {}).get("description", detail["text"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.errors.append(" ".join(str(part.get("value", part.get("description"))) for part in params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                self.asked.append(params["request"]["url"])

    async def go(self, address: str) -> None:
        await self.send("Page.navigate", url=address)

    async def run(self, script: str) -> Any:  # Any: JSON
        """The value of an expression, or of the promise that it gives."""
        result = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in result:
            detail = result["exceptionDetails"]
            raise AssertionError(f"{script[:200]}: {detail.get('exception', {}).get('description', detail['text'])}")
        return result["result"].get("value")

    async def until(self, script: str, limit: float = LIMIT) -> Any:
        """The value of an expression, once it is one."""
        value = None
        try:
            async with asyncio.timeout(limit):
                while not value:
                    with contextlib.suppress(AssertionError):  # the page is on its way
                        value = await self.run(f"((value) => value instanceof Node || value)({script})")
                    if not value:
                        await asyncio.sleep(0.02)
        except TimeoutError:
            text = await self.run("document.body.innerText")
            raise AssertionError(f"not so within {limit:g} s: {script}\n{text}\n{self.errors}") from None
        return value

    async def front(self) -> None:
        """Have it in front of the other tabs: one behind them is not painted."""
        await self.send("Page.bringToFront")

    async def sees(self, text: str) -> None:
        """Wait for a text that a person sees."""
        await self.until(f"document.body.innerText.includes({json.dumps(text)})")

    async def click(self, selector: str) -> None:
        """Where a person would."""
        place = await self.until(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)}); node?.scrollIntoView({{block: 'center'}});"
            " const box = node?.getBoundingClientRect(); return box?.width && [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    async def press(self, key: str, *, shift: bool = False) -> None:
        extra = {"text": "\r"} if key == "Enter" else {"text": " "} if key == "Space" else {}
        named = " " if key == "Space" else key
        for kind in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=named,
                code=key,
                windowsVirtualKeyCode=_KEYS[key],
                modifiers=8 if shift else 0,
                **(extra if kind == "keyDown" else {}),
            )

    async def type(self, text: str) -> None:
        await self.send("Input.insertText", text=text)

    async def choose(self, selector: str, *files: Path) -> None:
        """Files for a field that asks for some."""
        found = await self.send("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        await self.send("DOM.setFileInputFiles", files=[*map(str, files)], objectId=found["result"]["objectId"])

    async def look(self, *, width: int = 1200, height: int = 800, dark: bool = False) -> None:
        """How large the window is, and what its user likes."""
        await self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.send("Emulation.setEmulatedMedia", features=features)

    async def picture(self, file: Path) -> None:
        shot = await self.send("Page.captureScreenshot", format="png", optimizeForSpeed=False)
        await asyncio.to_thread(file.write_bytes, base64.b64decode(shot["data"]))


class Browser:
    """A running one; each tab has a session storage of its own, `apart` a profile of its own too."""

    def __init__(self, http: aiohttp.ClientSession, port: int, stack: contextlib.AsyncExitStack) -> None:
        self._http = http
        self._port = port
        self._stack = stack

    async def tab(self) -> Page:
        answer = await self._http.put(f"http://127.0.0.1:{self._port}/json/new?about:blank")
        target = json.loads(await answer.text())
        socket = await self._stack.enter_async_context(self._http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0))
        page = Page(socket)
        listening = asyncio.ensure_future(page.listen())
        self._stack.callback(listening.cancel)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.send(f"{domain}.enable")
        await page.look()
        return page


@asynccontextmanager
async def browsing(directory: Path, names: Mapping[str, int] | None = None) -> AsyncIterator[Browser]:
    """Run it until the block ends. `directory` is its profile's; `names` lead to these ports of loopback."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    rules = ", ".join(f"MAP {name} 127.0.0.1:{port}" for name, port in (names or {}).items())
    process = await asyncio.create_subprocess_exec(
        *(program, *QUIET, f"--user-data-dir={directory}", f"--host-resolver-rules={rules}"),
        *(
            "--remote-debugging-port=0",
            "--remote-allow-origins=*",
            "--hide-scrollbars",
            "--ignore-certificate-errors",
            "about:blank",
        ),
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with contextlib.AsyncExitStack() as stack:
            told = directory / "DevToolsActivePort"
            async with asyncio.timeout(60):
                while not (told.exists() and told.read_text()):
                    await asyncio.sleep(0.05)
            http = await stack.enter_async_context(http_session())
            yield Browser(http, int(told.read_text().split()[0]), stack)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
