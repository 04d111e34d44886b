"""The OpenAI SDK for Node.js and the Vercel AI SDK, in a directory of the tests' own: a script for each test."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, Think, words
from tests.conftest import TURN_LIMIT, Proxy
from tests.support.exchange import COUNT, HELLO, REASONING, TEXT

SCRIPTS = Path(__file__).parent
PACKAGES = ("openai@7", "ws@8", "ai@6", "@ai-sdk/openai@3")
INSTALL_LIMIT = 120.0  # seconds: packages of some megabytes from a registry

pytestmark = pytest.mark.xdist_group("node")  # they share what is installed


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


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the SDKs in it, and the scripts."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        missing("node and npm are not installed")
    assert npm is not None
    flags = ("--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1")
    place = tmp_path_factory.mktemp("node")
    try:
        subprocess.run([npm, "install", *flags, *PACKAGES], cwd=place, timeout=INSTALL_LIMIT, check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        missing(f"npm could not install {PACKAGES}: {error.stderr[-300:]!r}")
    except subprocess.TimeoutExpired:
        missing(f"npm did not install {PACKAGES} within {INSTALL_LIMIT:.0f} s")
    for script in SCRIPTS.glob("*.mjs"):
        shutil.copy(script, place)
    return place


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
    code, output, problems = await output_of("node", "node_client.mjs", cwd=workshop, limit=TURN_LIMIT, BASE_URL=proxy.base_url)
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
    code, output, problems = await output_of("node", "node_routes.mjs", cwd=workshop, limit=TURN_LIMIT, BASE_URL=proxy.base_url)
    assert code == 0, problems
    assert json.loads(output) == {
        "kinds": ["user", "user", "assistant"],
        "deleted": True,
        "tokens": 9,
        "compacted": ["message", "compaction"],
        "told": [[HELLO, False], [HELLO, True]],
    }


async def think_and_answer_or_call(request: ModelRequest) -> AsyncIterator[Step]:
    """A script: a thought, and then the client's tool where it is offered, once, or what that says, or TEXT."""
    yield Think((REASONING,), encrypted=f"secret-{len(request.input)}")
    if "get_weather" in request.tool_names and not request.outputs:
        yield Call("get_weather", '{"city":"Rome"}', f"call_{len(request.input)}")
    else:
        yield Say(((request.outputs or [TEXT])[-1],))


async def test_the_ai_sdk_refers_to_earlier_items_by_their_ids_and_the_model_gets_them(
    workshop: Path, proxy: Proxy, model: ModelServer
) -> None:
    model.script = think_and_answer_or_call
    code, output, problems = await output_of("node", "ai_sdk.mjs", cwd=workshop, limit=TURN_LIMIT, BASE_URL=proxy.base_url)
    assert code == 0, problems
    assert json.loads(output) == {
        "said": [TEXT, "It is sunny in Rome.", TEXT],
        "references": [0, 2, 3, 5],
    }
    kinds = [item.get("role", item["type"]) for item in model.requests[-1].input]
    answered = ["user", "reasoning", "assistant"]
    assert [kind for kind in kinds if kind != "developer"][1:] == [
        *answered,
        *("user", "reasoning", "function_call", "function_call_output", "reasoning", "assistant"),
        "user",
    ]
