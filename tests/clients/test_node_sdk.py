"""The official OpenAI SDK for Node.js, installed into a directory of the test's own: both routes in one script."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, Think, words
from tests.conftest import TURN_LIMIT, Proxy
from tests.support.exchange import COUNT, HELLO, REASONING, TEXT

SCRIPT = Path(__file__).with_name("node_client.mjs")
ROUTES = Path(__file__).with_name("node_routes.mjs")
PACKAGES = ("openai@7", "ws@8")
INSTALL_LIMIT = 60.0  # seconds: a package of some megabytes from a registry


def missing(reason: str) -> None:
    """Skip, for want of something that a developer may lack and that CI has to have."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


async def output_of(*command: str, cwd: Path, limit: float, **environ: str) -> tuple[int | None, str, str]:
    """Run a command to its end, or kill it at the limit; its exit code, its output and what it says of problems."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=os.environ | environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    ending = asyncio.ensure_future(process.communicate())
    await asyncio.wait([ending], timeout=limit)
    if process.returncode is None:
        process.kill()
    output, problems = await ending
    return process.returncode, output.decode(), problems.decode()


@pytest.fixture
async def workshop(tmp_path: Path) -> Path:
    """A directory with the SDK in it, and the script."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        missing("node and npm are not installed")
    assert npm is not None
    flags = ("--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1")
    code, _, problems = await output_of(npm, "install", *flags, *PACKAGES, cwd=tmp_path, limit=INSTALL_LIMIT)
    if code:
        missing(f"npm could not install {PACKAGES}: {problems[-300:]}")
    for script in (SCRIPT, ROUTES):
        shutil.copy(script, tmp_path)
    return tmp_path


async def answer_or_call(request: ModelRequest) -> AsyncIterator[Step]:
    """A script: the client's tool where it is offered, else TEXT."""
    if "get_weather" in request.tool_names:
        yield Call("get_weather", '{"city":"Rome"}', "call_w")
    else:
        yield Think((REASONING,))
        yield Say(words(TEXT))
    yield COUNT


async def test_it_reads_streams_and_calls_of_both_routes(workshop: Path, proxy: Proxy, model: ModelServer) -> None:
    model.script = answer_or_call
    code, output, problems = await output_of("node", SCRIPT.name, cwd=workshop, limit=TURN_LIMIT, BASE_URL=proxy.base_url)
    assert code == 0, problems
    assert json.loads(output) == {
        "pieces": list(words(TEXT)),
        "call": {"id": "call_w", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'}},
        "first": "response.created",
        "last": "response.completed",
        "numberOfDeltas": len(words(TEXT)),
        "text": TEXT,
        "types": ["reasoning", "message"],
        "usage": COUNT.input + COUNT.output,
    }


async def test_it_has_conversations_counts_compactions_and_the_socket(workshop: Path, proxy: Proxy) -> None:
    code, output, problems = await output_of("node", ROUTES.name, cwd=workshop, limit=TURN_LIMIT, BASE_URL=proxy.base_url)
    assert code == 0, problems
    assert json.loads(output) == {
        "kinds": ["user", "user", "assistant"],
        "deleted": True,
        "tokens": 9,
        "compacted": ["message", "compaction"],
        "told": [[HELLO, False], [HELLO, True]],
    }
