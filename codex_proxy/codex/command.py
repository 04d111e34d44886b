"""The Codex CLI's command line: its path, version, flags and environment.

No value from a request ends up on it: those are sent as JSON in the protocol.
"""

import importlib
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from codex_proxy.errors import CommandNotFound
from codex_proxy.settings import Settings
from codex_proxy.turns import Mode

_log = logging.getLogger(__name__)

OLDEST = (0, 147, 0)  # the first version with rawResponse/completed
_HIDES_AS_ROOT = (0, 163, 0)  # run as root, the commands of 0.147.0 keep CAP_SYS_ADMIN
_KERNEL_SETTING = "/proc/sys/kernel/core_pattern"  # names a program that the kernel runs as root
NEWEST_TESTED = (0, 171, 0)
_PIP_INSTALL = f"{shlex.quote(sys.executable)} -m pip install"
_VERSION_TIMEOUT = 20.0  # seconds, for a cold 300 MB binary on a slow disk

# Variables passed on to the child; CODEX_CHILD_ENV adds more.
_CHILD_ENV = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CODEX_CA_CERTIFICATE"),
)
_CHILD_ENV_PREFIX = "OPENAI_"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")  # in upper or lower case
_LOOPBACK = "localhost,127.0.0.1,::1"

# Features are switched off for the whole process: in a thread's config that costs up to 300 ms of CPU. Features unknown to the
# installed version are left out, because the CLI exits on an unknown name.
# Sub-agents choose their own models, whatever the key allows, and their tokens are missing from the turn's usage (0.163.0).
# Codex pursues a goal after its turn has ended, and would add the MCP servers that a skill asks for to the operator's config.toml.
_ON_THEIR_OWN = ("goals", "multi_agent", "multi_agent_v2", "multi_agent_mode", "enable_fanout", "agent_message_board")
_OFF_ALWAYS = ("shell_snapshot", "plugins", "apps", "skill_mcp_dependency_install", *_ON_THEIR_OWN)
_OFF_FOR_CHAT = ("shell_tool", "unified_exec", "skill_search", "tool_search", "tool_suggest", "view_image")
# The features do not stop them: most models ask for sub-agents in the CLI's catalogue, and only `agents.enabled` counts for more.
_CONFIG = ("check_for_update_on_startup=false", "analytics.enabled=false", "agents.enabled=false")
# The CLI runs git in the directory of every thread and turn, outside the sandbox, and `git status` runs the filters that the
# repository configures (0.147.0 to 0.169.0). Commands do not get this variable, so their git works.
_NO_REPOSITORY = {"GIT_DIR": os.devnull}
_NO_LOGIN = "cli_auth_credentials_store=ephemeral"  # the CLI would refresh a stored login with its issuer, needed or not


class Command(msgspec.Struct, frozen=True):
    """An installed CLI: its path, version, the names of its features, and its bundled models.

    `models` are the entries of `codex debug models` by slug, with details that model/list lacks; empty where the CLI does not
    have that command.
    """

    path: str
    version: tuple[int, int, int]
    features: frozenset[str]
    models: Mapping[str, dict[str, Any]] = {}  # Any: the CLI's own format

    @property
    def dotted_version(self) -> str:
        return _dotted(self.version)

    def argv(self, mode: Mode, *, local_only: bool = False) -> list[str]:
        """The command that starts an app-server process for threads of one mode."""
        off = _OFF_ALWAYS + (_OFF_FOR_CHAT if mode == "chat" else ())
        flags = [word for name in off if name in self.features for word in ("--disable", name)]
        config = (*_CONFIG, _NO_LOGIN) if local_only else _CONFIG
        return [self.path, "app-server", *flags, *(word for pair in config for word in ("-c", pair))]


class _Models(msgspec.Struct):
    models: list[dict[str, Any]]  # Any: the CLI's own format


def find(settings: Settings) -> Command:
    """Find the CLI at CODEX_PATH, on PATH or in its wheel. Raises CommandNotFound, whose message says how to fix it."""
    path = locate(settings)
    version = _version(path, settings)
    if version < OLDEST:
        raise CommandNotFound(
            f"The Codex CLI at {path} is {_dotted(version)}; codex-proxy needs {_dotted(OLDEST)} or newer. "
            f"Run: {_PIP_INSTALL} --upgrade openai-codex-cli-bin"
        )
    if version > NEWEST_TESTED:
        _log.warning("codex %s is newer than the newest tested version, %s", _dotted(version), _dotted(NEWEST_TESTED))
    if version < _HIDES_AS_ROOT and os.geteuid() == 0:
        _log.warning("codex %s run as root lets commands unmount what hides secrets from them: update it", _dotted(version))
    listed = _run(path, ["-c", _NO_LOGIN, "features", "list"], settings)
    features = frozenset(line.split()[0] for line in listed.splitlines() if line.split())
    return Command(path, version, features, _bundled_models(path, settings))


def trouble_as_root() -> str | None:
    """Why this server must not run as root; None if it does not, or if /proc/sys is read-only here, as in most containers.

    Each command has a /proc of its own, of which bubblewrap does not cover /proc/sys, where root may write without any capability
    (0.147.0 to 0.171.0). No rule of the permission profile helps: /proc is mounted over it.
    """
    if os.geteuid() == 0 and os.access(_KERNEL_SETTING, os.W_OK):
        return "run as root, commands in any sandbox can change the kernel's settings in /proc/sys, and so take over the machine"
    return None


def environment(settings: Settings) -> dict[str, str]:
    """The child's whole environment. With local_only it has no proxies, which would see even prompts sent to loopback."""
    given = settings.environ
    names = {*_CHILD_ENV, *settings.child_env, *(name for name in given if name.startswith(_CHILD_ENV_PREFIX))}
    if settings.local_only:
        names = {name for name in names if name.lower() not in _PROXIES}
    child = {name: given[name] for name in names if name in given}
    for name in ("NO_PROXY", "no_proxy"):
        child[name] = ",".join(filter(None, (given.get(name), _LOOPBACK)))
    if settings.codex_home is not None:
        child["CODEX_HOME"] = str(settings.codex_home)
    return child | _NO_REPOSITORY


def locate(settings: Settings) -> str:
    """The path of the CLI. Raises CommandNotFound."""
    wanted = settings.codex_path
    if found := shutil.which(os.path.expanduser(wanted), path=settings.environ.get("PATH")):
        return found
    if wanted != "codex":
        raise CommandNotFound(f"CODEX_PATH={wanted} is not a program. Unset it, or name the Codex CLI's path.")
    try:
        wheel = importlib.import_module("codex_cli_bin")
        return str(wheel.bundled_codex_path())
    except (ImportError, FileNotFoundError):
        raise CommandNotFound(
            "The Codex CLI was not found: not at CODEX_PATH, not on PATH, not as a Python package. "
            f"Run: {_PIP_INSTALL} openai-codex-cli-bin   (or: npm install -g @openai/codex)"
        ) from None


def _version(path: str, settings: Settings) -> tuple[int, int, int]:
    said = _run(path, ["--version"], settings)
    if not (found := re.search(r"\b(\d+)\.(\d+)\.(\d+)", said)):
        raise CommandNotFound(f"{path} --version printed {said.strip()[:100]!r}, so this is not the Codex CLI. Set CODEX_PATH.")
    return int(found[1]), int(found[2]), int(found[3])


def _bundled_models(path: str, settings: Settings) -> dict[str, dict[str, Any]]:
    """The models that the CLI was built with, listed without network access (takes 60 ms; 0.147.0 to 0.169.0)."""
    listed = _run(path, ["-c", _NO_LOGIN, "debug", "models", "--bundled"], settings)
    try:
        found = msgspec.json.decode(listed, type=_Models).models
    except msgspec.DecodeError:
        return {}
    return {str(entry.get("slug")): entry for entry in found}


def _run(path: str, arguments: list[str], settings: Settings) -> str:
    try:
        done = subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VERSION_TIMEOUT,
            env=environment(settings),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandNotFound(f"{path} could not be run: {error}. Set CODEX_PATH.") from error
    return done.stdout.decode(errors="replace")


def _dotted(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))
