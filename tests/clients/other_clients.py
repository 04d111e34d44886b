"""Clients that somebody else wrote: how each is installed, set up and run once against a server.

A trial is a prompt whose answer can only be right when the whole way works: the demo's model calls the tool that the prompt
names, fills a schema, or says what was said. Where `codex-proxy client` has a configuration for a client, that one is used.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from codex_proxy.commands.client_configs import CONFIGS

KEY = "unused"  # of a server without keys
MODEL, CHAT = "gpt-5.5", "gpt-5.5:chat"
_INSTALL_LIMIT, _RUN_LIMIT = 1800.0, 400.0  # seconds; one client comes with PyTorch
WEATHER = "It is sunny in Rome."  # what a tool says, and the model repeats


class OtherClient(msgspec.Struct, frozen=True):
    """`command` or, of a library, a Python `program`; `says`: what is in the output of a trial that went well."""

    name: str
    manager: str  # pip or npm
    packages: tuple[str, ...]  # the first one is the client
    tries: str  # what of it is tried, in words
    command: tuple[str, ...] = ()
    program: str = ""
    says: str = WEATHER
    logged: tuple[str, ...] = ()  # by the server, as often as it is here
    config: tuple[str, str] | None = None  # of `codex-proxy client`, and where it belongs in the client's home
    files: Mapping[str, str] = {}  # more of them, with @URL@ and so on in them
    environ: Mapping[str, str] = {}


class Trial(msgspec.Struct, frozen=True):
    """What became of one. `problem` is None when it went well."""

    client: str
    version: str
    problem: str | None = None


class _Package(msgspec.Struct):
    """A package.json."""

    version: str


class NotInstalled(Exception):
    """The registry, or its client, did not give it."""


async def install(client: OtherClient, directory: Path) -> str:
    """Install it into a directory, which may have it already; gives back its version. Raises NotInstalled."""
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    if client.manager == "pip":
        python = directory / "bin" / "python"
        if not python.exists():
            await _done(sys.executable, "-m", "venv", directory)
        await _done(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *client.packages)
        package = client.packages[0].partition("[")[0]
        return (await _done(python, "-c", f"from importlib.metadata import version; print(version({package!r}))")).strip()
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled("npm is not installed")
    flags = ("--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=1", "--prefix", directory)
    await _done(npm, "install", *flags, *client.packages)
    told = (directory / "node_modules" / client.packages[0] / "package.json").read_bytes()
    return msgspec.json.decode(told, type=_Package).version


async def attempt(client: OtherClient, directory: Path, base_url: str, home: Path) -> str | None:
    """Run an installed one in a home of its own; what went wrong, None when nothing did."""
    values = {"URL": base_url, "KEY": KEY, "MODEL": MODEL, "CHAT": CHAT}
    if client.config is not None:
        name, place = client.config
        _write(home / place, CONFIGS[name].filled(values))
    for place, text in client.files.items():
        for hole, value in values.items():
            text = text.replace(f"@{hole}@", f'"{value}"')
        _write(home / place, text)
    programs = directory / ("bin" if client.manager == "pip" else "node_modules/.bin")
    given = {name: value.replace("@HOME@", str(home)).replace("@URL@", base_url) for name, value in client.environ.items()}
    environ = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "BASE_URL": base_url,
        "MODEL": CHAT,
        "CI": "true",
        **given,
    }
    command = client.command or ("python", "-c", client.program)
    words = [word.replace("@HOME@", str(home)) for word in command]
    code, said = await _run(*words, limit=_RUN_LIMIT, cwd=home, environ=environ)
    return None if code == 0 and client.says in said else f"exit code {code}: {said[-1500:]}"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


async def _done(*command: str | Path) -> str:
    code, said = await _run(*command, limit=_INSTALL_LIMIT)
    if code != 0:
        raise NotInstalled(f"{' '.join(map(str, command))[:200]}: {said[-500:]}")
    return said


async def _run(
    *command: str | Path, limit: float, cwd: Path | None = None, environ: dict[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and output; one that takes too long is killed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    ending = asyncio.ensure_future(process.communicate())
    await asyncio.wait([ending], timeout=limit)
    if process.returncode is None:
        process.kill()
    said, _ = await ending
    return process.returncode or 0, said.decode(errors="replace")
