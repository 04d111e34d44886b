"""Prompt injection has succeeded, and the model hunts for secrets: none of them gets to it, to the client or to the log."""

import base64
import ctypes
import json
import platform
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codex_proxy.demo import shell
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step
from tests.conftest import RunningCommand
from tests.live.conftest import wrap
from tests.live.test_conversations import CALLS, SCRIPTS
from tests.support.agents_tools import patch, view
from tests.support.pictures import PIXEL
from tests.support.sessions import http_session

StartCommand = Callable[..., Awaitable[RunningCommand]]
_Try = Callable[[ModelRequest], Step]

_CANARY = "canary-{}-7f3a"  # never in a prompt of the hunt, hence anywhere only if it was found
_PATTERN = "canary-[a-z]*-7f3[a]"  # finds them all, and not itself
_NAMES = (
    *("login", "user", "ssh", "aws", "gcloud", "netrc", "keys", "more", "env", "config", "skill"),  # in files
    "keyring",
    *("child", "something", "cloud"),  # in the server's environment
    *("disk", "prompt"),
)
# Links the keyring of the user, which the test's process and every command have in common, and reads all keys in it.
_READ_KEYS = """
import ctypes
call, content = ctypes.CDLL(None).syscall, ctypes.create_string_buffer(1000)
call({0}, 1, None)
for line in [line.split() for line in open("/proc/keys")]:
    call({0}, 8, int(line[0], 16), -3)
    call({0}, 11, int(line[0], 16), content, 999)
    print(content.value)
"""
_USERS_KEYRING = -4
_PIXEL = base64.b64decode(PIXEL.partition(",")[2])


_call = ctypes.CDLL(None).syscall
_ADD_KEY, _KEYCTL = (217, 219) if platform.machine() == "aarch64" else (248, 250)


class Secrets(msgspec.Struct, frozen=True):
    """What there is to be found: files by path, and the port and socket of one who tells whoever asks."""

    files: tuple[Path, ...]
    picture: Path
    teller: Path


@pytest.fixture
async def secrets(home: Home, environ: dict[str, str]) -> AsyncIterator[Secrets]:
    """Plants them all: in files, in the server's environment, and links to the files in the workspace."""
    places = {
        "login": home.codex_home / "auth.json",
        "user": home.root / ".codex" / "auth.json",
        "ssh": home.root / ".ssh" / "id_x",
        "aws": home.root / ".aws" / "credentials",
        "gcloud": home.root / ".config" / "gcloud" / "token",
        "netrc": home.root / ".netrc",
        "keys": home.root / "etc" / "keys.toml",
        "more": home.root / "more" / "deep" / "secret",
        "env": home.root / ".env",
    }
    for name, place in places.items():
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.write_text(_CANARY.format(name))
        place.chmod(0o600)
    places["login"].write_text(json.dumps({"OPENAI_API_KEY": _CANARY.format("login")}))
    places["keys"].write_text(f"# {_CANARY.format('keys')}\n[keys]\n")
    places["env"].write_text(f"PROXY_API_KEY={_CANARY.format('env')}\n")
    configuration = home.codex_home / "config.toml"
    with configuration.open("a") as config:
        config.write(f'\n[model_providers.demo.http_headers]\nX-Secret = "{_CANARY.format("config")}"\n')
    (home.root / ".ssh" / "SKILL.md").write_text(f"---\nname: x\ndescription: {_CANARY.format('skill')}\n---\n")
    picture = home.root / ".ssh" / "picture.png"
    picture.write_bytes(_PIXEL)
    store = home.root / "state" / "responses.sqlite"
    files = (*places.values(), configuration, store, Path(f"{store}-wal"), Path(f"{store}-shm"))
    for number, place in enumerate((*files, picture)):
        (home.workdir / f"link-{number}").symlink_to(place)
    (home.workdir / "link-home").symlink_to(home.root)
    (home.workdir / "link.png").symlink_to(picture)
    (home.workdir / "AGENTS.md").symlink_to(places["ssh"])
    skill = home.workdir / ".agents" / "skills" / "x"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").symlink_to(home.root / ".ssh" / "SKILL.md")
    environ |= {
        "PROXY_STORE": f"sqlite://{store}",
        "PROXY_API_KEYS_FILE": str(places["keys"]),
        "CODEX_DENY_READ": str(home.root / "more"),
        "CODEX_CHILD_ENV": "FOR_THE_CLI",
        "FOR_THE_CLI": _CANARY.format("child"),
        "SOMETHING": _CANARY.format("something"),
        "AWS_SECRET_ACCESS_KEY": _CANARY.format("cloud"),
        "CODEX_TIMEOUT": "60",
    }
    (home.workdir / "read_keys.py").write_text(_READ_KEYS.format(_KEYCTL))
    kept = _CANARY.format("keyring").encode()
    key = _call(_ADD_KEY, b"user", bytes(home.root), kept, len(kept), _USERS_KEYRING)
    teller = home.root / "teller"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(teller))
        listener.listen()
        yield Secrets(files, picture, teller)
    _call(_KEYCTL, 9, key, _USERS_KEYRING)  # unlink


def _hunts(secrets: Secrets, home: Home) -> list[str]:
    """Commands that look where secrets are, each of which goes on when a part of it fails."""
    files = " ".join(map(str, secrets.files))
    hidden = home.codex_home
    return [
        "env; export -p; set",
        f"cat {files}",
        *(f"cd /proc/{way}/root && cat {' '.join(str(file)[1:] for file in secrets.files)}" for way in ("self", "1", "$PPID")),
        f"cat link-*; grep -r '{_PATTERN}' . link-home/; cat AGENTS.md .agents/skills/x/SKILL.md",
        f"for file in {files}; do n=$((n+1)); for way in 'ln' 'cp' 'mv'; do $way $file $way-$n; cat $way-$n; done; done",
        f"find {home.root} -type f -exec cat {{}} +; ls -laR {hidden}",
        f"cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -a '{_PATTERN}'",
        "for fd in /proc/[0-9]*/fd/*; do case $(readlink $fd) in *sqlite*|*auth*|*env) cat $fd;; esac; done",
        f"chmod -R 777 {hidden}; umount -l {hidden}; umount {hidden}; cat {hidden}/auth.json",
        f"unshare -rm sh -c 'umount -l {hidden}; cat {hidden}/auth.json'; nsenter -t 1 -a cat {hidden}/auth.json",
        f"mount --bind {home.root} /mnt && cat /mnt/codex_home/auth.json; chroot / cat {hidden}/auth.json",
        f"mknod /dev/shm/disk b $(stat -c '%Hd %Ld' {home.root}) && head -c 1 /dev/shm/disk && printf canary-%s-7f3a disk",
        f"curl -s -m 1 --unix-socket {secrets.teller} http://x; [ $? = 28 ] && echo connected",
        "cat /root/.ssh/id_* ~/.ssh/* ~root/.netrc",
        "python3 read_keys.py",
    ]


def _calls(hunts: list[str], secrets: Secrets, home: Home) -> list[_Try]:
    pictures = (secrets.picture, home.workdir / "link.png", secrets.files[0])
    steal = f"*** Begin Patch\n*** Update File: {secrets.files[0]}\n*** Move to: stolen\n@@\n+x\n*** End Patch"
    return [
        *(_runs(f"( {hunt} ) 2>/dev/null; echo hunted") for hunt in hunts),
        *(partial(view, path) for path in pictures),
        *(partial(patch, steal), _runs("cat stolen")),
    ]


def _runs(command: str) -> _Try:
    return partial(shell.run, command, yield_time_ms=20_000, max_output_tokens=50_000)


def _hunter(calls: list[_Try]) -> Callable[[ModelRequest], AsyncIterator[Step]]:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if "hunt" in request.prompt and len(request.outputs) < len(calls):
            yield calls[len(request.outputs)](request)
        else:
            yield Say(("That is all.",))

    return script


def _found(text: str) -> set[str]:
    return {name for name in _NAMES if _CANARY.format(name) in text}


def _conversation(model: ModelServer) -> str:
    return msgspec.json.encode([request.body for request in model.requests]).decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sandbox", "network", "dialect", "model_name"),
    [("read-only", "0", "chat", SCRIPTS), ("workspace-write", "0", "responses", CALLS), ("workspace-write", "1", "chat", SCRIPTS)],
)
async def test_in_the_sandbox_a_hunting_agent_finds_no_secret(
    secrets: Secrets,
    start_command: StartCommand,
    model: ModelServer,
    home: Home,
    environ: dict[str, str],
    capfd: pytest.CaptureFixture[str],
    sandbox: str,
    network: str,
    dialect: str,
    model_name: str,
) -> None:
    hunts = _hunts(secrets, home)
    calls = _calls(hunts, secrets, home)
    model.script = _hunter(calls)
    environ |= {"CODEX_SANDBOX_MODE": sandbox, "CODEX_WORKSPACE_NETWORK_ACCESS": network}
    running = await start_command()
    key = {"Authorization": f"Bearer {_CANARY.format('env')}"}
    async with http_session(headers=key) as http:
        kept = await http.post(f"{running.base_url}/responses", json={"input": _CANARY.format("prompt")})
        assert kept.status == 200, await kept.text()
        model.requests = []
        body: dict[str, Any] = {"stream": True, "model": model_name}
        if dialect == "chat":
            body["messages"] = [{"role": "user", "content": "hunt"}]
            answer = await http.post(f"{running.base_url}/chat/completions", json=body)
            answered = await answer.text()
        else:
            answer = await http.post(f"{running.base_url}/responses", json=body | {"input": "hunt"})
            answered = await answer.text()
            number = answered.partition('"id":"resp_')[2].partition('"')[0]
            stored = await http.get(f"{running.base_url}/responses/resp_{number}")
            assert stored.status == 200
            answered += await stored.text()
    assert await running.stop() == 0
    outputs = model.requests[-1].outputs
    assert len(outputs) == len(calls), answered
    assert [output for output in outputs[: len(hunts)] if not output.rstrip().endswith("hunted")] == []
    assert "That is all." in answered
    said, log = _conversation(model), "".join(capfd.readouterr())
    assert not _found(said) | _found(answered) | _found(log)
    assert "input_image" not in said
    assert "\\nconnected" not in said or network == "1"


@pytest.fixture
def writing_for_a_group(environ: dict[str, str], tmp_path: Path) -> None:
    wrap(environ, tmp_path, "umask 002; exec")


async def test_in_danger_mode_the_servers_environment_stays_closed(
    as_anybody: None, in_code_mode: None, start_command: StartCommand, model: ModelServer, environ: dict[str, str]
) -> None:
    hunt = f"cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -a '{_PATTERN}'; env"
    model.script = _hunter([_runs(hunt)])
    environ |= {
        "PROXY_API_KEY": _CANARY.format("env"),
        "AWS_SECRET_ACCESS_KEY": _CANARY.format("cloud"),
        "CODEX_CHILD_ENV": "FOR_THE_CLI",
        "FOR_THE_CLI": _CANARY.format("child"),
        "CODEX_SANDBOX_MODE": "danger-full-access",
        "CODEX_ALLOW_DANGER_FULL_ACCESS": "1",
    }
    running = await start_command()
    async with http_session(headers={"Authorization": f"Bearer {environ['PROXY_API_KEY']}"}) as http:
        body = {"messages": [{"role": "user", "content": "hunt"}]}
        answer = await http.post(f"{running.base_url}/chat/completions", json=body)
        assert answer.status == 200
    assert model.requests[-1].outputs
    # What the CLI itself was given, a command without a sandbox can read; it also shows that the hunt works.
    assert _found(_conversation(model)) == {"child"}


async def test_what_we_write_is_private_and_what_commands_write_has_the_users_modes(
    writing_for_a_group: None, start_command: StartCommand, model: ModelServer, home: Home, environ: dict[str, str]
) -> None:
    model.script = _hunter([_runs("touch made; mkdir below")])
    environ["CODEX_SANDBOX_MODE"] = "workspace-write"
    running = await start_command()
    async with http_session() as http:
        answer = await http.post(f"{running.base_url}/responses", json={"input": "hunt"})
        assert answer.status == 200
    state = home.root / ".local" / "state" / "codex-proxy"
    assert _mode(state) == 0o700
    assert {path.name: _mode(path) for path in state.iterdir() if _mode(path) != 0o600} == {}
    assert (_mode(home.workdir / "made"), _mode(home.workdir / "below")) == (0o664, 0o775)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
