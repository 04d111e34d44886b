"""The Codex CLI as a client of ours: its agent, its sandbox and its tools on its side, the bare model on ours."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from codex_proxy.codex.command import Command
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, Think, words
from tests.conftest import START_LIMIT, Proxy, ProxyStarter

_CONFIG = """\
model = "gpt-5.5 chat"
model_provider = "proxy"

[model_providers.proxy]
name = "codex-proxy"
base_url = "{base_url}"
wire_api = "responses"
"""
_TOKEN = """
[model_providers.proxy.auth]
command = "echo"
args = ["any"]
"""
_PATCH = "*** Begin Patch\n*** Add File: poem.txt\n+roses are red\n*** End Patch\n"


class Client:
    """A `codex exec` with a home and a workspace of its own."""

    def __init__(self, cli: Command, root: Path, base_url: str) -> None:
        self.workspace = root / "workspace"
        self._home = root / "home"
        self._cli = cli
        self.workspace.mkdir()
        self._home.mkdir()
        self.config = self._home / "config.toml"
        self.config.write_text(_CONFIG.format(base_url=base_url))
        self.problems = b""

    async def ask(self, prompt: str) -> list[dict[str, Any]]:  # Any: the CLI's own form
        """Run one turn; the items that it has completed, in order."""
        process = await asyncio.create_subprocess_exec(
            *(self._cli.path, "exec", "--json", "--skip-git-repo-check", "--sandbox", "workspace-write", prompt),
            cwd=self.workspace,
            env={"PATH": os.environ["PATH"], "HOME": str(self._home), "CODEX_HOME": str(self._home), "LANG": "C.UTF-8"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(START_LIMIT):
                output, self.problems = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, (output, self.problems)
        told = [json.loads(line) for line in output.splitlines()]
        assert told[-1]["type"] == "turn.completed"
        return [event["item"] for event in told if event["type"] == "item.completed"]


@pytest.fixture
def client_codex(cli: Command, proxy: Proxy, tmp_path: Path) -> Client:
    """The Codex CLI whose provider is `proxy`."""
    return Client(cli, tmp_path, proxy.base_url)


def calling(name: str, arguments: dict[str, str]) -> Callable[[ModelRequest], AsyncIterator[Step]]:
    """A script: a thought and a call of the tool; when it has been run, an answer."""

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say(words("It is done."))
        else:
            yield Think(("**Working**",), encrypted="secret")
            yield Call(name, json.dumps(arguments), "call_1")

    return script


async def test_its_shell_commands_run_on_the_clients_side(client_codex: Client, model: ModelServer) -> None:
    model.script = calling("client_exec_command", {"cmd": "echo on the client; pwd"})
    items = await client_codex.ask("run it")
    (ran,) = [item for item in items if item["type"] == "command_execution"]
    assert (ran["exit_code"], ran["aggregated_output"]) == (0, f"on the client\n{client_codex.workspace}\n")
    assert items[-1] == {"id": items[-1]["id"], "type": "agent_message", "text": "It is done."}

    assert model.calls == 2
    asked = model.requests[-1]
    assert "client_exec_command" in asked.tool_names
    assert "exec_command" not in asked.tool_names
    assert asked.prompt == "run it"
    call, output = asked.input[-2:]
    assert (call["type"], call["name"], call["call_id"]) == ("function_call", "client_exec_command", "call_1")
    assert "on the client" in output["output"]
    (thought,) = [item for item in asked.input if item["type"] == "reasoning"]
    assert thought["encrypted_content"] == "secret"


async def test_over_a_websocket_it_sends_only_what_is_new(client_codex: Client, model: ModelServer, proxy: Proxy) -> None:
    client_codex.config.write_text(client_codex.config.read_text() + "supports_websockets = true\n")
    model.script = calling("client_exec_command", {"cmd": "echo on the client"})
    items = await client_codex.ask("run it")
    assert items[-1]["text"] == "It is done."
    assert model.calls == 2
    call, output = model.requests[-1].input[-2:]
    assert (call["type"], call["name"]) == ("function_call", "client_exec_command")
    assert "on the client" in output["output"]
    told = await (await proxy.http.get(f"{proxy.address}/metrics")).text()
    assert 'route="/v1/responses",status="101"' in told
    assert 'method="POST",route="/v1/responses"' not in told


async def test_its_patches_are_a_custom_tool_that_changes_the_clients_files(client_codex: Client, model: ModelServer) -> None:
    model.script = calling("client_apply_patch", {"input": _PATCH})
    items = await client_codex.ask("write a poem")
    (change,) = [item for item in items if item["type"] == "file_change"]
    assert change["status"] == "completed"
    assert (client_codex.workspace / "poem.txt").read_text() == "roses are red\n"
    assert items[-1]["text"] == "It is done."
    call, output = model.requests[-1].input[-2:]
    assert (call["name"], json.loads(call["arguments"])) == ("client_apply_patch", {"input": _PATCH})
    assert "Success" in output["output"]


@pytest.mark.parametrize(("name", "effort"), [("gpt-5.5 chat", "medium"), ("swift", "low")])
async def test_it_reads_our_list_of_models_and_knows_each_of_them(
    environ: dict[str, str],
    cli: Command,
    start_proxy: ProxyStarter,
    tmp_path: Path,
    model: ModelServer,
    name: str,
    effort: str,
) -> None:
    """Only a provider with a command for its token is asked for its models (0.147.0 to 0.169.0)."""
    environ["CODEX_MODEL_ALIASES"] = "swift=gpt-5.5 low chat"
    async with start_proxy() as proxy:
        client = Client(cli, tmp_path, proxy.base_url)
        client.config.write_text(client.config.read_text().replace("gpt-5.5 chat", name) + _TOKEN)
        items = await client.ask("hello")
    assert items == [{"id": items[0]["id"], "type": "agent_message", "text": "Hello from the scripted model."}]
    assert b"models" not in client.problems
    cached = json.loads((client.config.parent / "models_cache.json").read_text())
    assert name in [entry["slug"] for entry in cached["models"]]
    assert model.requests[-1].body["reasoning"]["effort"] == effort
