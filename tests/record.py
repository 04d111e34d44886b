"""Record a turn of the real CLI for tests/data: PATH=... python -m tests.record, with the CLI to record first on PATH.

Writes tests/data/turn-<version>.jsonl: what the app-server says from the first item of a turn to its end. Paths of this
machine are replaced.
"""

import asyncio
import json
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from codex_proxy.codex import command
from codex_proxy.demo.home import MODEL, Home, prepared
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, Count, ModelRequest, Raw, Say, Step, Think, words
from codex_proxy.settings import Settings

_DATA = Path(__file__).parent / "data"
_SOMEWHERE = "/home/someone/workspace"
_NOT_THE_TURN = ("remoteControl/", "account/", "mcpServer/", "thread/status/", "thread/started", "turn/started", "warning")
_LIMIT = 60.0  # seconds for any one line
_LONGEST_LINE = 16 * 1024 * 1024
_PATCH = "*** Begin Patch\n*** Add File: notes.txt\n+one\n*** End Patch"


async def _script(request: ModelRequest) -> AsyncIterator[Step]:
    match len(request.outputs):
        case 0:
            yield Think(("**Looking around**", "**Then acting**"))
            yield Say(words("I will look first."), phase="commentary")
            yield Call("exec_command", json.dumps({"cmd": "printf 'one\\ntwo\\n'"}), "call_ok")
            yield Count(100, 40, 20, 7)
        case 1:
            yield Call("exec_command", json.dumps({"cmd": "exit 3"}), "call_bad")
        case 2:
            patch = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_patch", "name": "apply_patch", "input": _PATCH}
            yield Raw(patch)
        case _:
            search = {"type": "search", "query": "codex"}
            yield Raw({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": search})
            yield Say(words("All is done."), phase="final_answer")


async def _request(process: Process, method: str, params: dict[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"id": method, "method": method, "params": params}).encode() + b"\n")
    while (line := json.loads(await _line(process))).get("id") != method or "method" in line:
        pass
    return dict(line["result"])


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(_LIMIT):
        return await process.stdout.readline()


async def _recorded(cli: command.Command, home: Home) -> list[bytes]:
    environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "CODEX_HOME": str(home.codex_home), "HOME": str(home.root)}
    argv = (cli.path, "app-server")
    process = await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environ, limit=_LONGEST_LINE)
    lines: list[bytes] = []
    try:
        client = {"name": "record", "title": "record", "version": "1"}
        await _request(process, "initialize", {"clientInfo": client, "capabilities": {"experimentalApi": True}})
        start = {
            "approvalPolicy": "never",
            "sandbox": "workspace-write",
            "cwd": str(home.workdir),
            "model": MODEL,
            "ephemeral": True,
        }
        started = await _request(process, "thread/start", {**start, "experimentalRawEvents": True})
        await _request(process, "turn/start", {"threadId": started["thread"]["id"], "input": [{"type": "text", "text": "go"}]})
        while not lines or json.loads(lines[-1])["method"] != "turn/completed":
            line = (await _line(process)).replace(str(home.workdir).encode(), _SOMEWHERE.encode())
            if "method" in (read := json.loads(line)) and not read["method"].startswith(_NOT_THE_TURN):
                lines.append(line.replace(str(home.root).encode(), b"/home/someone"))
    finally:
        process.terminate()
        await process.communicate()
    return lines


async def main() -> None:
    cli = command.find(Settings(environ=dict(os.environ)))
    async with ModelServer.started(_script) as model:
        with prepared(model.base_url) as home:
            lines = await _recorded(cli, home)
    file = _DATA / f"turn-{cli.dotted_version}.jsonl"
    file.write_bytes(b"".join(lines))
    print(f"{file}: {len(lines)} lines")


if __name__ == "__main__":
    asyncio.run(main())
