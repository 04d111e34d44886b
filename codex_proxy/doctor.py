"""`codex-proxy doctor`: check whether the server can run here, and if not, say what to do.

Each check gives one Finding; checks that depend on a failed one are skipped. Nothing is left behind: directories that the server
would create are created only for the test, and the CLI runs in temporary ones instead of those that do not exist yet.
"""

import asyncio
import contextlib
import errno
import http.client
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from codex_proxy import roots, settings
from codex_proxy.catalog import Facts
from codex_proxy.codex import command, home, places
from codex_proxy.codex.command import NEWEST_TESTED, Command
from codex_proxy.codex.open_threads import OpenThreads
from codex_proxy.codex.worker import Worker
from codex_proxy.errors import CommandNotFound, StorageFull, StoreUnavailable, WorkerFailed
from codex_proxy.keys import Keyring
from codex_proxy.settings import Settings, SettingsError
from codex_proxy.store import opening
from codex_proxy.web.gates import descriptors

_START_TIMEOUT = 7.0  # seconds; a start takes a fraction of one, and doctor should finish within ten
_CONNECT_TIMEOUT = 2.0  # seconds
_FOR_A_SANDBOX = "It needs user namespaces. See: sysctl user.max_user_namespaces kernel.apparmor_restrict_unprivileged_userns"
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_OPENAI = "https://api.openai.com"

_LOGS_NO_PROMPTS = (0, 163, 0)  # verified; 0.147.0 does log them

_HEALTH_TIMEOUT = 2.0  # seconds
_OF_AN_ACCOUNT = ("login", "provider")
_OF_THE_CLI = (*_OF_AN_ACCOUNT, "sandbox")
_OF_THE_SETTINGS = ("paths", "keys", "address", "files", "store", "codex", *_OF_THE_CLI)

Status = Literal["ok", "warning", "failed", "skipped"]


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of a check. `remedy` says what to do. A server can run despite warnings, but not despite failures."""

    check: str
    status: Status
    message: str
    remedy: str = ""

    def line(self) -> str:
        return f"{self.status:8} {self.check:9} {self.message} {self.remedy}".rstrip()


async def examine(environ: Mapping[str, str], cwd: Path, program: str = "codex-proxy") -> AsyncIterator[Finding]:
    """Check everything that a server with this environment needs, and yield the findings. `program` is how to call us."""
    try:
        chosen, warnings = settings.load(environ, cwd)
    except SettingsError as error:
        for sentence in str(error).splitlines():
            yield Finding("settings", "failed", sentence)
        for check in _OF_THE_SETTINGS:
            yield Finding(check, "skipped", "fix the settings first")
        return
    for warning in warnings:
        yield Finding("settings", "warning", warning)
    yield Finding(
        "settings", "ok", f"read, with {chosen.env_file}" if chosen.env_file else "read from the environment; no env file"
    )
    found = _places(chosen)
    yield found
    yield _keys(chosen)
    running = await asyncio.to_thread(_running, chosen)
    yield await _address(chosen, running)
    yield _files(chosen)
    yield await _store(chosen)
    try:
        cli = command.find(chosen)
    except CommandNotFound as error:
        yield Finding("codex", "failed", str(error))
        for check in _OF_THE_CLI:
            yield Finding(check, "skipped", "it needs the Codex CLI")
        return
    yield _version(cli)
    if found.status == "failed":
        for check in _OF_THE_CLI:
            yield Finding(check, "skipped", "it needs the paths")
        return
    with places.stand_ins(chosen) as settings_of_the_cli:
        async for finding in _at_work(cli, settings_of_the_cli, program):
            yield _beside(running, finding)


def _places(chosen: Settings) -> Finding:
    codex_home = home.codex_home(chosen)
    missing = [place for place in (codex_home, chosen.workdir) if not place.exists()]
    try:
        with _leaving_no_trace(missing):
            places.make_directories(chosen)
    except SettingsError as error:
        return Finding("paths", "failed", str(error))
    told = f"CODEX_HOME {codex_home}, workspace {chosen.workdir}, sandbox {chosen.sandbox}"
    if codex_home in missing and chosen.codex_home is not None:
        remedy = "The server will create it at startup, empty and without a login. Check the name."
        return Finding("paths", "warning", f"{told}. There is no {codex_home}.", remedy)
    if unusable := roots.unusable(chosen.workspaces):
        return Finding("paths", "warning", f"{told}. {' '.join(unusable)}", "Create it, or correct the name.")
    return Finding("paths", "ok", f"{told}; created at startup: {' and '.join(map(str, missing))}" if missing else told)


@contextmanager
def _leaving_no_trace(missing: Sequence[Path]) -> Iterator[None]:
    """Remove the directories that the block creates, `missing` ones and their parents, if they are still empty."""
    steps = {step for place in missing for step in (place, *place.parents) if not step.exists()}
    try:
        yield
    finally:
        for step in sorted(steps, key=lambda one: len(one.parts), reverse=True):
            with contextlib.suppress(OSError):
                step.rmdir()


def _keys(chosen: Settings) -> Finding:
    try:
        keyring = Keyring(chosen)
    except SettingsError as error:
        return Finding("keys", "failed", str(error))
    if not chosen.has_keys:
        return Finding("keys", "ok", "none: anyone who can reach the address can use it")
    return Finding("keys", "ok", f"{len(keyring) + (chosen.api_key is not None)}")


async def _address(chosen: Settings, running: "_Server | None") -> Finding:
    name = f"{chosen.host}:{chosen.port}"
    try:
        with socket.create_server((chosen.host, chosen.port), family=socket.AF_INET6 if ":" in chosen.host else socket.AF_INET):
            return Finding("address", "ok", f"{name} is free")
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return Finding(
                "address", "failed", f"Cannot listen on {name}: {error.strerror or error}.", "Set PROXY_HOST or PROXY_PORT."
            )
        if running is not None:
            return Finding("address", "ok", f"codex-proxy {running.version} is running at {name}, {running.status}")
        return Finding("address", "failed", f"Another program listens on {name}.", "Set PROXY_PORT to a free port.")


def _files(chosen: Settings) -> Finding:
    most = descriptors.reachable_limit()
    try:
        descriptors.check(most, chosen.max_parallel)
    except SettingsError as error:
        return Finding("files", "failed", str(error))
    return Finding("files", "ok", f"up to {most} can be open at once; a systemd unit has its own limit")


class _Server(msgspec.Struct, frozen=True):
    """A server that is already running at the address. `status` is ready or not ready."""

    version: str
    status: str


class _Told(msgspec.Struct):
    """The answer of a running server to /health and /ready."""

    status: str
    version: str = ""


def _running(chosen: Settings) -> _Server | None:
    """The server that is running at the address; None if nothing or another program answers there."""
    health, ready = _asked(chosen, "/health"), _asked(chosen, "/ready")
    return _Server(health.version, ready.status) if health and ready and health.status == "ok" and health.version else None


def _asked(chosen: Settings, path: str) -> _Told | None:
    connection = http.client.HTTPConnection(chosen.host, chosen.port, timeout=_HEALTH_TIMEOUT)
    try:
        connection.request("GET", path, headers={"Host": (*chosen.allowed_hosts, "localhost")[0]})
        return msgspec.json.decode(connection.getresponse().read(10_000), type=_Told)
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return None
    finally:
        connection.close()


def _beside(running: _Server | None, finding: Finding) -> Finding:
    """Turn a failed account check into a warning if a server with other settings, like a demo, is already running and ready."""
    if finding.status != "failed" or finding.check not in _OF_AN_ACCOUNT or running is None or running.status != "ready":
        return finding
    message = f"{finding.message} The server that is running is ready all the same: it has other settings, like a demo."
    return Finding(finding.check, "warning", message, finding.remedy)


async def _store(chosen: Settings) -> Finding:
    kind, file = chosen.store.partition(":")[0], chosen.store_file
    queue = f"{chosen.max_parallel} concurrent turns, {chosen.max_queued} may wait"
    if file is not None and not file.exists():
        try:
            with _leaving_no_trace([file.parent]):
                file.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.NamedTemporaryFile(dir=file.parent):
                    return Finding("store", "ok", f"{kind}, created at startup at {file}; {queue}")
        except OSError as error:
            return Finding("store", "failed", f"{file} cannot be created: {error.strerror}.", "Set PROXY_STORE.")
    try:
        await opening.check(chosen)
    except (StoreUnavailable, StorageFull) as error:
        return Finding("store", "failed", f"{error} {error.detail}.", "Set PROXY_STORE.")
    except SettingsError as error:
        return Finding("store", "failed", str(error))
    return Finding("store", "ok", f"{kind}{f' at {file}' if file else ''}; {queue}")


def _version(cli: Command) -> Finding:
    found = f"{cli.dotted_version} at {cli.path}"
    if cli.version > NEWEST_TESTED:
        return Finding("codex", "warning", f"{found}: newer than the newest tested, {'.'.join(map(str, NEWEST_TESTED))}")
    if cli.version < _LOGS_NO_PROMPTS:
        message = f"{found}: it writes every prompt into logs_2.sqlite in its home, those of store: false too"
        return Finding("codex", "warning", message, f"Update it to {'.'.join(map(str, _LOGS_NO_PROMPTS))} or newer.")
    return Finding("codex", "ok", found)


async def _at_work(cli: Command, chosen: Settings, program: str) -> AsyncIterator[Finding]:
    """The checks that need a running CLI."""
    told = 0  # number of findings of _OF_THE_CLI so far
    try:
        async with Worker.started(cli, chosen, asyncio.Lock(), OpenThreads(), "agent", _START_TIMEOUT) as worker:
            yield _login(worker.facts, program)
            told = 1
            yield await _provider(worker.facts, chosen)
            told = 2
            trouble = await worker.sandbox_trouble()
            told = 3
            if trouble is None and (as_root := command.trouble_as_root()) is not None:
                yield Finding("sandbox", "warning", f"it works, but {as_root}.", "Run the server as another user.")
            elif trouble is None:
                yield Finding("sandbox", "ok", "commands can run in it, and cannot write outside it")
            else:
                yield Finding("sandbox", "failed", f"Codex's sandbox does not work here: {trouble}.", _FOR_A_SANDBOX)
    except WorkerFailed as error:
        yield Finding("start", "failed", f"{error} {error.detail}.", f"To see more, run: {cli.path} app-server")
        for check in _OF_THE_CLI[told:]:
            yield Finding(check, "skipped", "it needs a Codex CLI that runs")


def _login(facts: Facts, program: str) -> Finding:
    if facts.usable:
        return Finding("login", "ok", f"a turn can run; default model {facts.catalog.default}")
    return Finding("login", "failed", "Codex is not logged in.", f"Run: {program} login (without a browser: --device-auth)")


async def _provider(facts: Facts, chosen: Settings) -> Finding:
    url = facts.provider_url or _OPENAI
    if chosen.local_only and not facts.provider_local:
        remedy = "Choose a local model_provider in Codex's config.toml, or unset CODEX_LOCAL_ONLY."
        return Finding("provider", "failed", f"{facts.provider} is not on this machine, and CODEX_LOCAL_ONLY is set.", remedy)
    proxy = next((chosen.environ[name] for name in _PROXIES if chosen.environ.get(name)), None)
    way = url if facts.provider_local or proxy is None else proxy
    trouble = await _unreachable(way)
    if trouble is None:
        return Finding("provider", "ok", f"{facts.provider}, {url} answers{'' if way == url else ' through a proxy'}")
    remedy = "Start it, or correct base_url in Codex's config.toml." if facts.provider_url else "Check the internet connection."
    return Finding("provider", "failed", f"{facts.provider} cannot be reached at {way}: {trouble}.", remedy)


async def _unreachable(url: str) -> str | None:
    """Why no connection can be made to a URL; None when one can."""
    try:
        parts = urlsplit(url)
        port = parts.port or (80 if parts.scheme == "http" else 443)
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except TimeoutError:
        return "no answer in time"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return None
