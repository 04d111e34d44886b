"""A command that looks for a way out of its workspace, on the real CLI: by what it makes of directories, links and mounts."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from codex_proxy import settings as settings_module
from codex_proxy.codex import command
from codex_proxy.codex.command import Command
from codex_proxy.demo import shell
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Script, Step
from codex_proxy.web import serving
from tests.conftest import Proxy, ProxyStarter, RunningCommand
from tests.live.test_conversations import CALLS, SCRIPTS
from tests.support.agents_tools import patch, use_model
from tests.support.sessions import http_session

_LEFT = (".agents", ".aws", ".codex")  # empty directories of the CLI's own, which a busy machine may not have removed yet


def runs(*commands: str, patches: tuple[str, ...] = ()) -> Script:
    """A model that runs these one after the other, whatever comes of them, then patches, and ends."""

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        done = len(request.outputs)
        if done < len(commands):
            yield shell.run(commands[done], request, yield_time_ms=20_000)
        elif patches[done - len(commands) :]:
            yield patch(patches[done - len(commands)], request)
        else:
            yield Say(("done",))

    return script


async def outputs(proxy: Proxy, model: ModelServer, script: Script, **wanted: object) -> list[str]:
    """What the commands of one turn printed."""
    model.script = script
    answer = await proxy.chat(prompt="go", x_codex=wanted)
    assert answer.status == 200, await answer.text()
    return model.requests[-1].outputs


@pytest.fixture
def private(home: Home, environ: dict[str, str]) -> Path:
    """A secret that commands may not read, and a file of the user's that they may not write."""
    environ["CODEX_SANDBOX_MODE"] = "workspace-write"
    (home.codex_home / "auth.json").write_text("CANARY-auth")
    (home.root / ".ssh").mkdir()
    (home.root / ".ssh" / "id_x").write_text("CANARY-ssh")
    (home.root / ".bashrc").write_text("# mine\n")
    (home.root / "private").mkdir()
    (home.root / "private" / "secret.txt").write_text("CANARY-private")
    return home.root


_PATCH = "*** Begin Patch\n*** Add File: patched\n+x\n*** End Patch"


@pytest.mark.parametrize(("network", "model_name"), [(False, SCRIPTS), (True, CALLS)])
@pytest.mark.parametrize("target", [".", ".ssh", "codex_home"])
async def test_a_cwd_that_becomes_a_link_gives_no_right_to_where_it_leads(
    private: Path, start_proxy: ProxyStarter, model: ModelServer, home: Home, target: str, network: bool, model_name: str
) -> None:
    use_model(home, model_name)
    cwd, elsewhere = home.workdir / "p", private / target
    cwd.mkdir()
    files = f"{private}/.ssh/id_x {home.codex_home}/auth.json"
    config = (home.codex_home / "config.toml").read_bytes()
    swap = f"cd .. && mv p p.old && ln -s {elsewhere} p && echo swapped"
    tries = f"pwd -P; cat {files} id_x auth.json .ssh/id_x; for f in .bashrc id_x config.toml new; do echo x >> $f; done"
    inside = f"touch {home.workdir}/still-mine && echo wrote"
    async with start_proxy() as proxy:
        said = await outputs(proxy, model, runs(swap, tries, inside, patches=(_PATCH,)), cwd=str(cwd), network_access=network)
    assert "swapped" in said[0]
    assert "CANARY" not in "".join(said)
    assert (private / ".bashrc").read_text() == "# mine\n"
    assert (home.codex_home / "config.toml").read_bytes() == config
    found = [path for path in (private / "new", elsewhere / "new", elsewhere / "patched", private / "patched") if path.exists()]
    assert found == []
    assert (private / ".ssh" / "id_x").read_text() == "CANARY-ssh"


async def test_a_turn_writes_in_the_whole_workspace_around_its_directory_and_nowhere_else(
    private: Path, in_code_mode: None, start_proxy: ProxyStarter, model: ModelServer, home: Home, environ: dict[str, str]
) -> None:
    other = home.root / "other"
    other.mkdir()
    (home.workdir / "p").mkdir()
    environ["CODEX_WORKSPACES"] = str(other)
    places = (home.workdir / "p" / "a", home.workdir / "b", other / "c", home.root / "d", private / "private" / "e")
    async with start_proxy() as proxy:
        await outputs(proxy, model, runs(*(f"touch {place}" for place in places)), cwd=str(home.workdir / "p"))
    assert [place.name for place in places if place.exists()] == ["a", "b"]


async def test_no_command_writes_in_a_workspaces_own_git_from_wherever_it_starts(
    private: Path, start_proxy: ProxyStarter, model: ModelServer, home: Home, environ: dict[str, str]
) -> None:
    for name in ("a", "b"):
        (home.root / "repositories" / name / ".git" / "hooks").mkdir(parents=True)
        (home.root / "repositories" / name / "deep").mkdir()
    environ["CODEX_WORKSPACES"] = f"{home.root}/repositories/*"
    repository = home.root / "repositories" / "a"
    tries = "touch .git/hooks/pre-commit; mv .git g; echo x >> .git/config; mkdir -p .codex/x; touch ../b/.git/hooks/y; echo tried"
    async with start_proxy() as proxy:
        for cwd in (repository, repository / "deep"):
            said = await outputs(proxy, model, runs(f"cd {repository}; {tries}", f"cd {repository}; {tries}"), cwd=str(cwd))
            assert ["tried" in one for one in said] == [True, True]
    found = [path for path in repository.parent.rglob("*") if path.name not in _LEFT or any(path.iterdir())]
    assert sorted(str(path.relative_to(repository.parent)) for path in found) == [
        *("a", "a/.git", "a/.git/hooks", "a/deep", "b", "b/.git", "b/.git/hooks", "b/deep"),
    ]


async def test_a_workspace_that_a_command_closes_fails_its_own_turns_and_no_other(
    closed_is_closed: None,
    start_command: Callable[..., Awaitable[RunningCommand]],
    model: ModelServer,
    home: Home,
    environ: dict[str, str],
) -> None:
    (home.root / "other").mkdir()
    (home.root / "other" / "closed").mkdir(mode=0)
    environ |= {"CODEX_SANDBOX_MODE": "workspace-write", "CODEX_WORKSPACES": str(home.root / "other")}
    environ["CODEX_MAX_PARALLEL_REQUESTS"] = "1"
    model.script = runs("chmod 000 . && echo closed")
    running = await start_command()
    async with http_session() as http:

        async def ask(**members: object) -> tuple[int, str]:
            body = {"messages": [{"role": "user", "content": "go"}], **members}
            async with http.post(f"{running.base_url}/chat/completions", json=body) as answer:
                assert "x-should-retry" not in answer.headers  # nothing was begun
                return answer.status, await answer.text()

        try:
            assert (await ask())[0] == 200
            assert "closed" in model.requests[-1].outputs[0]
            model.script = runs()
            for place, wanted in ((home.workdir, {}), (home.root / "other/closed", {"cwd": f"{home.root}/other/closed"})):
                for _ in range(2):  # the second one on a worker that has heard of it, or on its successor
                    status, said = await ask(x_codex=wanted)
                    assert (status, json.loads(said)["error"]["code"]) == (400, "workspace_unusable")
                    assert str(place) in said
            assert (await ask(x_codex={"cwd": str(home.root / "other")}))[0] == 200
            assert (await ask(model="gpt-5.5 chat"))[0] == 200
            async with http.get(f"{running.address}/ready") as ready:
                assert ready.status == 200
            assert await running.stop() == 0
            again = await start_command()  # and the next start opens what is its own
            async with http.post(f"{again.base_url}/responses", json={"input": "go"}) as answer:
                assert answer.status == 200
        finally:
            home.workdir.chmod(0o755)
            (home.root / "other" / "closed").chmod(0o755)


async def test_where_no_command_starts_in_the_sandbox_the_server_is_not_ready_and_says_why(
    environ: dict[str, str], home: Home, cli: Command, no_leftovers: None
) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root without its rights is somebody for whom there is no sandbox")
    program = home.root / "codex"
    program.write_text(f'#!/bin/sh\nexec setpriv --bounding-set=-all --inh-caps=-all "{cli.path}" "$@"\n')
    program.chmod(0o755)
    settings, _ = settings_module.load(environ | {"CODEX_PATH": str(program)}, home.root)
    async with serving.listening(settings, command.find(settings)) as (_, address), http_session() as http, asyncio.timeout(30):
        said = "no worker"
        while "no worker" in said:  # until the first start has failed
            async with http.get(f"{address}/ready") as answer:
                status, said = answer.status, await answer.text()
    assert status == 503
    assert "Codex's sandbox does not work here" in said
