"""A turn runs as its request says or is refused, and never gets more than the server and its key allow: said and done.

Said: the whole matrix, by what the real CLI was told. Done: what a command can do in each of the modes, whichever of the
three has settled it. What is to be expected stands in tables here; nothing of it is asked of policy.py.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from codex_proxy.codex.command import Command
from codex_proxy.demo import shell
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Script, Step, words
from tests.conftest import Proxy, ProxyStarter
from tests.live.recording import Recording, Said
from tests.live.test_conversations import CALLS, SCRIPTS
from tests.support.key_file import Bearer, write_keys
from tests.support.long_run import LONG
from tests.support.refusals import post, refusal

_READ, _WRITE, _ONLINE, _DANGER = "read-only", "workspace-write", "workspace-write with network", "danger-full-access"
_OFF, _FORBIDDEN = (400, "not_allowed"), (403, "sandbox_not_allowed")
_ASKED = (None, _READ, _WRITE, _DANGER)

# By CODEX_SANDBOX_MODE, CODEX_SANDBOX_CEILING and CODEX_ALLOW_DANGER_FULL_ACCESS: what a request gets that asks for nothing, and
# for each mode.
_GIVES: dict[tuple[str, str, str], tuple[str | tuple[int, str], ...]] = {
    (_READ, "", "0"): (_READ, _READ, _WRITE, _OFF),
    (_READ, _READ, "0"): (_READ, _READ, _FORBIDDEN, _OFF),
    (_WRITE, _WRITE, "0"): (_WRITE, _READ, _WRITE, _OFF),
    (_WRITE, _WRITE, "1"): (_WRITE, _READ, _WRITE, _FORBIDDEN),
    (_READ, "", "1"): (_READ, _READ, _WRITE, _DANGER),
    (_DANGER, "", "1"): (_DANGER, _READ, _WRITE, _DANGER),
}
# By the ceiling of a key: its lines in the file, and what it makes of the server's default.
_KEYS: dict[str, tuple[dict[str, object], dict[str, str]]] = {
    "unsaid": ({}, {_READ: _READ, _WRITE: _WRITE, _DANGER: _WRITE}),
    "reader": ({"sandbox": _READ, "danger": True}, {_READ: _READ, _WRITE: _READ, _DANGER: _READ}),
    "writer": ({"sandbox": _WRITE, "danger": True}, {_READ: _READ, _WRITE: _WRITE, _DANGER: _WRITE}),
    "daring": ({"sandbox": _DANGER, "danger": True}, {_READ: _READ, _WRITE: _WRITE, _DANGER: _DANGER}),
}


class _Server(msgspec.Struct, frozen=True):
    """What a server is set to, as the environment has it."""

    sandbox: str
    ceiling: str
    danger: str
    network: str

    def __str__(self) -> str:
        return f"{self.sandbox}, ceiling {self.ceiling or 'unset'}, danger {self.danger}, network {self.network}"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "CODEX_SANDBOX_MODE": self.sandbox,
            "CODEX_SANDBOX_CEILING": self.ceiling,
            "CODEX_ALLOW_DANGER_FULL_ACCESS": self.danger,
            "CODEX_WORKSPACE_NETWORK_ACCESS": self.network,
        }


class _Case(msgspec.Struct, frozen=True):
    """One field of the matrix."""

    key: str
    key_network: bool
    asked: str | None
    asked_network: bool | None

    @property
    def bearer(self) -> str:
        return _bearer(self.key, self.key_network)

    @property
    def prompt(self) -> str:
        return f"{self.bearer} asks for {self.asked}, network {self.asked_network}"

    def expected(self, server: _Server) -> str | tuple[int, str]:
        """The mode as the answer's header has it, or the refusal."""
        given = _GIVES[server.sandbox, server.ceiling, server.danger][_ASKED.index(self.asked)]
        if isinstance(given, tuple):
            return given
        mode = _KEYS[self.key][1][given]
        if mode != given and self.asked is not None:
            return _FORBIDDEN
        if self.asked_network and not self.key_network:
            return _FORBIDDEN
        if mode == _DANGER and self.asked_network is False:
            return _OFF
        online = self.key_network and (server.network == "1" if self.asked_network is None else self.asked_network)
        return _ONLINE if mode == _WRITE and online else mode


_CEILINGS = [(name, network) for name in _KEYS for network in (True, False) if network or name != "daring"]
_CASES = [_Case(*ceiling, *asked) for ceiling in _CEILINGS for asked in itertools.product(_ASKED, (None, True, False))]
_SERVERS = [_Server(*mode, network) for mode, usual in zip(_GIVES, "010101", strict=True) for network in ("01" if LONG else usual)]


@pytest.mark.parametrize("server", _SERVERS, ids=str)
async def test_the_cli_is_told_of_the_least_of_server_key_and_request(
    start_proxy: ProxyStarter,
    home: Home,
    environ: dict[str, str],
    key_file: Path,
    cli: Command,
    model: ModelServer,
    server: _Server,
) -> None:
    bearers = _written(key_file)
    recording = Recording(home.root, cli.path)
    environ |= {"CODEX_PATH": str(recording.program), "CODEX_MAX_QUEUED_REQUESTS": "1000", **server.environ}
    expected = {case: case.expected(server) for case in _CASES}
    async with start_proxy() as proxy:
        said: dict[_Case, str | tuple[int, str | None]] = {}
        for mode in dict.fromkeys(expected.values()):  # those of one mode can use the threads that wait
            cases = [case for case in _CASES if expected[case] == mode]
            said |= dict(zip(cases, await asyncio.gather(*(_answer(proxy, case, bearers) for case in cases)), strict=True))
    assert said == expected
    told = recording.turns()
    turns = {case: mode for case, mode in expected.items() if isinstance(mode, str)}
    assert {prompt: _mode_of(one) for prompt, one in told.items()} == {case.prompt: mode for case, mode in turns.items()}
    assert model.calls == len(turns)


def _written(key_file: Path) -> dict[str, Bearer]:
    """Keys of every ceiling, with and without network."""
    limits = {_bearer(name, network): {**_KEYS[name][0], "network": network} for name, network in _CEILINGS}
    return write_keys(key_file, limits)


def _bearer(name: str, network: bool) -> str:
    return f"{name}-{'online' if network else 'offline'}"


async def _answer(proxy: Proxy, case: _Case, bearers: dict[str, Bearer], **members: str) -> str | tuple[int, str | None]:
    """The mode that the answer names, or its refusal."""
    wanted = {"sandbox": case.asked, "network_access": case.asked_network}
    body = {"messages": [{"role": "user", "content": case.prompt}], "x_codex": wanted, **members}
    answer = await post(proxy, body, bearers[case.bearer])
    if answer.status == 200:
        return answer.headers["x-codex-sandbox"]
    error = await refusal(answer)
    assert error.param in ("x_codex.sandbox", "x_codex.network_access")
    return answer.status, error.code


def _mode_of(said: Said) -> str:
    """The mode of a turn, by the permission profile of its thread and its own sandboxPolicy."""
    assert "sandbox" not in said.thread
    assert said.thread["approvalPolicy"] == "never"
    profile = said.thread["config"]["permissions"][said.thread["config"]["default_permissions"]]
    written = [place for place, access in profile["filesystem"].items() if access == "write"]
    policy = said.turn.get("sandboxPolicy")
    if policy is not None:
        assert policy == {"type": "dangerFullAccess"}
        return _DANGER
    online = profile.get("network", {}).get("enabled", False)
    assert len(written) == 1 or (written == [] and not online)
    return (_ONLINE if online else _WRITE) if written else _READ


_CAN: dict[str, set[str]] = {
    _READ: set(),
    _WRITE: {"inside"},
    _ONLINE: {"inside", "connected"},
    _DANGER: {"inside", "connected", "outside", "temporary", "secrets"},  # as documented: only another uid protects then
}
_EVERYTHING = _CAN[_DANGER]
_PROBES = {  # by server: who has settled the mode there is the server, the key or the request
    _Server(_DANGER, "", "1", "1"): (
        *(_Case(key, online, None, None) for key, online in _CEILINGS),
        *(_Case("daring", True, asked, network) for asked in (_READ, _WRITE) for network in (None, False)),
    ),
    _Server(_READ, "", "0", "0"): (
        _Case("daring", True, None, True),
        _Case("daring", True, _WRITE, None),
        _Case("unsaid", True, _WRITE, True),
        _Case("writer", False, _WRITE, None),
    ),
    _Server(_READ, "", "1", "0"): (_Case("daring", True, _DANGER, None),),
}


@pytest.mark.parametrize("server", _PROBES, ids=str)
async def test_a_command_can_do_what_its_mode_says_and_no_more(
    start_proxy: ProxyStarter,
    home: Home,
    environ: dict[str, str],
    key_file: Path,
    model: ModelServer,
    tmp_path: Path,
    server: _Server,
) -> None:
    bearers = _written(key_file)
    cases = _PROBES[server]
    (home.codex_home / "auth.json").write_text("CANARY-auth")
    (home.root / "beside").mkdir()
    environ |= server.environ
    async with _listener() as (port, heard), start_proxy() as proxy:
        model.script = _probe([case.prompt for case in cases], port, home, tmp_path)
        by_turns = zip(cases, itertools.cycle((SCRIPTS, CALLS)), strict=False)  # so that most modes see both kinds of model
        said = await asyncio.gather(*(_answer(proxy, case, bearers, model=name) for case, name in by_turns))
    assert said == [case.expected(server) for case in cases]
    outputs = {request.prompt: request.outputs[-1] for request in model.requests if request.outputs}
    for number, (case, mode) in enumerate(zip(cases, map(str, said), strict=True)):
        output = outputs[case.prompt]
        assert "Process exited" in output
        assert {word for word in _EVERYTHING if f"{word} {number}" in output} == _CAN[mode]
        assert ("CANARY-auth" in output, "sha256" in output) == ("secrets" in _CAN[mode],) * 2
        there = {"inside": home.workdir, "outside": home.root / "beside", "temporary": tmp_path}
        assert {word for word, place in there.items() if (place / f"{word}-{number}").exists()} == _CAN[mode] & set(there)
        assert (str(number) in heard) is ("connected" in _CAN[mode])


@asynccontextmanager
async def _listener() -> AsyncIterator[tuple[int, set[str]]]:
    """A loopback port, and the lines that came there."""
    heard: set[str] = set()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.add((await reader.readline()).decode().strip())
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heard


def _probe(prompts: list[str], port: int, home: Home, temporary: Path) -> Script:
    """A model that tries everything, and says the word of what has worked, each with the number of the prompt."""

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say(words("done"))
            return
        number = prompts.index(request.prompt)
        tries = {
            "inside": f"touch inside-{number}",
            "outside": f"touch {home.root}/beside/outside-{number}",
            "temporary": f"touch {temporary}/temporary-{number}",
            "secrets": f"cat {home.codex_home}/auth.json {home.root}/keys/keys.toml",
            "connected": f"bash -c 'echo {number} >/dev/tcp/127.0.0.1/{port}'",
        }
        command = "; ".join(f"{attempt} 2>/dev/null && echo {word} {number}" for word, attempt in tries.items())
        yield shell.run(command, request)

    return script


# The keys' workspaces, and where a turn works by the x_codex.cwd of the request; None: it is refused.
_ROOTS: dict[str, list[str]] = {"anywhere": [], "narrow": ["more/deep"], "two": ["more", "workspace"]}
_PLACES: dict[str | None, dict[str, str | None]] = {
    None: {"anywhere": "workspace", "narrow": "more/deep", "two": "workspace"},
    "workspace": {"anywhere": "workspace", "narrow": None, "two": "workspace"},
    "more": {"anywhere": "more", "narrow": None, "two": "more"},
    "more/deep": {"anywhere": "more/deep", "narrow": "more/deep", "two": "more/deep"},
    "more/deep/..": {"anywhere": "more", "narrow": None, "two": "more"},
    "more/deep/to_workspace": {"anywhere": "workspace", "narrow": None, "two": "workspace"},
    "more/deeper": {"anywhere": "more/deeper", "narrow": None, "two": "more/deeper"},
    "third": {"anywhere": "third", "narrow": None, "two": None},
    "workspace/to_outside": {"anywhere": None, "narrow": None, "two": None},
    "codex_home": {"anywhere": None, "narrow": None, "two": None},
    ".": {"anywhere": None, "narrow": None, "two": None},
}


async def test_a_turn_works_in_a_directory_of_server_and_key_and_writes_in_no_other(
    start_proxy: ProxyStarter, home: Home, environ: dict[str, str], key_file: Path, cli: Command, model: ModelServer
) -> None:
    for name in ("more/deep", "more/deeper", "third"):
        (home.root / name).mkdir(parents=True)
    (home.root / "more/deep/to_workspace").symlink_to(home.workdir)
    (home.workdir / "to_outside").symlink_to(home.codex_home)
    readers = {"sandbox": _READ}  # else they could put a link in place of what is the narrow one's
    limits: dict[str, dict[str, object]] = {
        key: {"workspaces": [str(home.root / root) for root in roots]} if roots else {} for key, roots in _ROOTS.items()
    }
    bearers = write_keys(key_file, {key: limit | ({} if key == "narrow" else readers) for key, limit in limits.items()})
    recording = Recording(home.root, cli.path)
    environ |= {
        "CODEX_PATH": str(recording.program),
        "CODEX_WORKSPACES": f"{home.root}/more:{home.root}/third",
        "CODEX_SANDBOX_MODE": "workspace-write",
    }
    messages = {key: set[str]() for key in _ROOTS}
    expected: dict[str, str] = {}
    async with start_proxy() as proxy:
        for asked, keys in _PLACES.items():
            for key, place in keys.items():
                prompt = f"{key} in {asked}"
                wanted = {} if asked is None else {"cwd": f"{home.root}/{asked}"}
                answer = await post(proxy, {"messages": [{"role": "user", "content": prompt}], "x_codex": wanted}, bearers[key])
                if place is not None:
                    assert answer.status == 200, await answer.text()
                    expected[prompt] = str(home.root / place)
                else:
                    error = await refusal(answer)
                    assert (answer.status, error.code, error.param) == (403, "permission_denied", "x_codex.cwd")
                    messages[key].add(error.message.replace(repr(wanted["cwd"]), "it"))
        assert {len(told) for told in messages.values()} == {1}  # the same of each directory, so nobody learns what there is
        assert f"Workspaces: {home.root}/more/deep." in str(messages["narrow"])  # and of no other key's
        assert model.calls == len(expected)
        model.script = _probe(["write"], 1, home, home.root / "more")
        assert (await post(proxy, {"messages": [{"role": "user", "content": "write"}]}, bearers["narrow"])).status == 200
    assert (home.root / "more/deep/inside-0").exists()
    assert not (home.root / "more/temporary-0").exists()
    told = recording.turns()
    assert {prompt: told[prompt].thread["cwd"] for prompt in expected} == expected
