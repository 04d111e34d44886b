"""The settings (`Settings`), and reading them once at startup (`load`).

This is the only reader of os.environ and of the env file. An invalid value aborts the start; nothing falls back silently.
`settings_values.py` parses single values. README.md lists the same names, which a test checks.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from codex_proxy import env_file
from codex_proxy.ceilings import SANDBOXES, over_the_ceilings
from codex_proxy.near_misses import near_misses
from codex_proxy.roots import nesting, root_of
from codex_proxy.settings_values import (
    Proxy,
    can_be_had,
    choice,
    colon_list,
    comma_list,
    flag,
    location,
    pairs,
    path,
    port,
    proxies,
    seconds,
    store_address,
    text,
    whole,
    workspaces,
)

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
FIRST_WORKDIR = Path("/workspace")
_RATE_LIMIT = 60
_SECOND_WORKDIR = "codex-workspace"  # in the home directory
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")


class SettingsError(Exception):
    """A setting has an invalid value. The message has one sentence per line, with the name, the value and what is allowed."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of the process, with defaults resolved. Durations are in seconds; sizes have their unit in the name."""

    api_key: str | None = None
    api_keys_file: Path | None = None  # named keys; see keys.py
    allow_unauthenticated: bool = False
    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = LOOPBACK_NAMES
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[Proxy, ...] = ()
    max_body_mb: int = 32
    max_bodies_mb: int | None = None  # total of all bodies being read or waiting; None: twice max_body_mb
    image_fetch: bool = False
    console: bool = True
    store: str = "sqlite"  # memory, sqlite (in state_directory), sqlite:///path, redis://…
    store_ttl_hours: int = 720
    store_max_mb: int = 512
    rate_limit_per_minute: int = 0  # for a loopback server without keys; otherwise the default is _RATE_LIMIT
    codex_path: str = "codex"
    workdir: Path = FIRST_WORKDIR
    workdir_unset: bool = False  # CODEX_WORKDIR is not set, and the first default cannot be used
    workspaces: tuple[Path, ...] = ()
    codex_home: Path | None = None  # CODEX_CONFIG_DIR, else CODEX_HOME; None: the CLI's own default
    profile_dir: Path | None = None  # files for Codex's home; None: the default directory, see codex/profile.py
    extra_models: tuple[str, ...] = ()
    ui_tasks: str = "chat"  # or agent: a chat UI's requests for titles and tags are turns like any other
    list_models: str = "base"  # or all: with every effort
    model_aliases: tuple[tuple[str, str], ...] = ()  # (alias, name that it stands for)
    sandbox: str = "read-only"  # default for requests that do not specify one
    sandbox_ceiling: str = "workspace-write"  # the widest sandbox that a request may ask for
    workspace_network: bool = False  # default network access in workspace-write
    network_ceiling: bool = True
    reasoning_effort: str = "medium"
    default_mode: str = "agent"
    hide_reasoning: bool = False
    local_only: bool = False
    allow_danger: bool = False
    protect_secrets: bool = True
    deny_read: tuple[Path, ...] = ()
    allow_read: tuple[Path, ...] = ()  # exceptions from what is hidden by default
    turn_timeout: float = 120.0
    queue_timeout: float = 60.0
    max_parallel: int = 2
    max_queued: int = 64
    conversation_minutes: int = 60
    worker_max_turns: int = 100
    worker_max_mb: int = 600
    child_env: tuple[str, ...] = ()
    drain_seconds: float = 30.0
    log_level: str = "info"
    log_format: str = "text"
    env_file: Path | None = None  # the file that was loaded
    environ: Mapping[str, str] = {}  # the OS environment at startup, for the child's allow-list

    @property
    def has_keys(self) -> bool:
        """Whether clients need a key; otherwise the server is open."""
        return self.api_key is not None or self.api_keys_file is not None

    @property
    def roots(self) -> tuple[Path, ...]:
        """The directories that turns may work in, CODEX_WORKDIR first."""
        return tuple(dict.fromkeys((self.workdir, *self.workspaces)))

    @property
    def commands_write(self) -> bool:
        """Whether commands of any turn may write."""
        return self.sandbox_ceiling != SANDBOXES[0]

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in LOOPBACK_NAMES

    @property
    def store_file(self) -> Path | None:
        """The file of a SQLite store: the configured one, or one in the state directory ($STATE_DIRECTORY under systemd)."""
        if self.store == "sqlite":
            home = Path(self.environ.get("HOME") or Path.home())
            usual = Path(self.environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "codex-proxy"
            return Path(self.environ.get("STATE_DIRECTORY") or usual) / "responses.sqlite"
        return Path(self.store.removeprefix("sqlite://")) if self.store.startswith("sqlite://") else None


class Setting(msgspec.Struct, frozen=True):
    """An environment variable: the member of Settings that it sets, and the parser of its value."""

    name: str
    field: str
    read: Callable[[str], Any]  # str -> the member's type; raises ValueError, which says what is allowed


# In the order of the table in README.md.
SETTINGS = (
    Setting("PROXY_API_KEY", "api_key", text),
    Setting("PROXY_API_KEYS_FILE", "api_keys_file", location),
    Setting("PROXY_ALLOW_UNAUTHENTICATED", "allow_unauthenticated", flag),
    Setting("PROXY_HOST", "host", text),
    Setting("PROXY_PORT", "port", port),
    Setting("PROXY_ALLOWED_HOSTS", "allowed_hosts", comma_list),
    Setting("PROXY_CORS_ORIGINS", "cors_origins", comma_list),
    Setting("PROXY_TRUSTED_PROXIES", "trusted_proxies", proxies),
    Setting("PROXY_MAX_BODY_MB", "max_body_mb", whole(1, 1024)),
    Setting("PROXY_MAX_BODIES_MB", "max_bodies_mb", whole(1, 1_048_576)),
    Setting("PROXY_IMAGE_FETCH", "image_fetch", flag),
    Setting("PROXY_CONSOLE", "console", flag),
    Setting("PROXY_STORE", "store", store_address),
    Setting("PROXY_STORE_TTL_HOURS", "store_ttl_hours", whole(1, 1_000_000)),
    Setting("PROXY_STORE_MAX_MB", "store_max_mb", whole(1, 1_000_000)),
    Setting("RATE_LIMIT_PER_MINUTE", "rate_limit_per_minute", whole(0, 1_000_000)),
    Setting("CODEX_PATH", "codex_path", text),
    Setting("CODEX_WORKDIR", "workdir", path),
    Setting("CODEX_WORKSPACES", "workspaces", workspaces),
    Setting("CODEX_CONFIG_DIR", "codex_home", path),
    Setting("CODEX_WRAPPER_PROFILE_DIR", "profile_dir", location),
    Setting("CODEX_EXTRA_MODELS", "extra_models", comma_list),
    Setting("CODEX_LIST_MODELS", "list_models", choice("base", "all")),
    Setting("CODEX_MODEL_ALIASES", "model_aliases", pairs),
    Setting("PROXY_UI_TASKS", "ui_tasks", choice("chat", "agent")),
    Setting("CODEX_SANDBOX_MODE", "sandbox", choice(*SANDBOXES)),
    Setting("CODEX_SANDBOX_CEILING", "sandbox_ceiling", choice(*SANDBOXES)),
    Setting("CODEX_WORKSPACE_NETWORK_ACCESS", "workspace_network", flag),
    Setting("CODEX_NETWORK_CEILING", "network_ceiling", flag),
    Setting("CODEX_REASONING_EFFORT", "reasoning_effort", choice(*EFFORTS)),
    Setting("CODEX_DEFAULT_MODE", "default_mode", choice("agent", "chat")),
    Setting("CODEX_HIDE_REASONING", "hide_reasoning", flag),
    Setting("CODEX_LOCAL_ONLY", "local_only", flag),
    Setting("CODEX_ALLOW_DANGER_FULL_ACCESS", "allow_danger", flag),
    Setting("CODEX_PROTECT_SECRETS", "protect_secrets", flag),
    Setting("CODEX_DENY_READ", "deny_read", colon_list),
    Setting("CODEX_ALLOW_READ", "allow_read", colon_list),
    Setting("CODEX_TIMEOUT", "turn_timeout", seconds(1, 86_400)),
    Setting("CODEX_QUEUE_TIMEOUT", "queue_timeout", seconds(0.1, 86_400)),
    Setting("CODEX_MAX_PARALLEL_REQUESTS", "max_parallel", whole(-1_000, 256, least=1)),
    Setting("CODEX_MAX_QUEUED_REQUESTS", "max_queued", whole(1, 100_000)),
    Setting("CODEX_CONVERSATION_MINUTES", "conversation_minutes", whole(0, 525_600)),
    Setting("CODEX_WORKER_MAX_TURNS", "worker_max_turns", whole(1, 1_000_000)),
    Setting("CODEX_WORKER_MAX_MB", "worker_max_mb", whole(200, 1_000_000)),
    Setting("CODEX_CHILD_ENV", "child_env", comma_list),
    Setting("PROXY_DRAIN_SECONDS", "drain_seconds", seconds(0, 86_400)),
    Setting("LOG_LEVEL", "log_level", choice("debug", "info", "warning", "error")),
    Setting("LOG_FORMAT", "log_format", choice("text", "json")),
)

DEPRECATED = ("CODEX_MODEL",)
_KEYS = ("PROXY_API_KEY", "PROXY_API_KEYS_FILE")  # an empty value is an error, not the same as unset
_BELONGS_TO_CODEX = ("CODEX_HOME", "OPENAI_API_KEY")
_NAMES = (*(setting.name for setting in SETTINGS), *DEPRECATED, *_BELONGS_TO_CODEX, env_file.NAMED_BY)


def os_environment() -> dict[str, str]:
    """The environment of this process."""
    return dict(os.environ)


def load(environ: Mapping[str, str], cwd: Path) -> tuple[Settings, list[str]]:
    """Load the settings from `environ`, else from the env file of `cwd`, and return them with warnings.

    Raises SettingsError with one line for every invalid value.
    """
    try:
        file = env_file.find(environ, cwd)
        from_file = env_file.read(file) if file else {}
    except ValueError as error:
        raise SettingsError(str(error)) from error
    warnings = [
        f"{name} in {file} is ignored: set it in the environment instead."
        for name in (env_file.NAMED_BY, *_BELONGS_TO_CODEX)
        if name in from_file
    ]
    values = {name: assigned.value for name, assigned in from_file.items()} | dict(environ)
    deprecated = (f"{name} is deprecated and has no effect." for name in DEPRECATED if values.get(name))
    warnings += [*deprecated, *near_misses(values, _NAMES)]
    problems = [
        f"{name} is empty {'in the environment' if name in environ else f'in {file}, line {from_file[name].line}'}: "
        "the server would be open to everyone who can reach it. Give it a value, or remove it."
        for name in _KEYS
        if name in values and not values[name].strip()
    ]
    members: dict[str, Any] = {}
    for setting in SETTINGS:
        try:
            if given := values.get(setting.name, "").strip():
                members[setting.field] = setting.read(given)
        except ValueError as error:
            problems.append(f"{setting.name}={_shown(setting.name, given)} is not valid: {error}.")
    if "codex_home" not in members and environ.get("CODEX_HOME"):
        try:
            members["codex_home"] = path(environ["CODEX_HOME"])
        except ValueError as error:
            problems.append(f"CODEX_HOME={environ['CODEX_HOME']!r} is not valid: {error}.")
    settings = Settings(**{**_usual(members, environ), **members}, env_file=file, environ=environ)
    if problems := [*problems, *_contradictions(settings)]:
        raise SettingsError("\n".join(problems))
    return settings, warnings


def _usual(members: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Defaults that depend on other settings or on the machine."""
    usual: dict[str, Any] = {}
    if members.get("allow_danger"):
        usual["sandbox_ceiling"] = SANDBOXES[-1]
    if members.get("api_key") or members.get("api_keys_file") or members.get("host", LOOPBACK_NAMES[1]) not in LOOPBACK_NAMES:
        usual["rate_limit_per_minute"] = _RATE_LIMIT
    if "workdir" not in members and not can_be_had(FIRST_WORKDIR):
        usual["workdir"] = Path(environ.get("HOME") or Path.home(), _SECOND_WORKDIR).resolve()
        usual["workdir_unset"] = True
    return usual


def refuse_if_others_may_write(file: Path) -> None:
    """Raise SettingsError if users other than the owner may write the file. Raises OSError when it does not exist."""
    if env_file.others_may_write(file):
        raise SettingsError(env_file.refusal(file))


def _shown(name: str, value: str) -> str:
    return "…" if name in ("PROXY_API_KEY", "PROXY_STORE") else repr(value)  # a Redis URL may contain a password


def _contradictions(settings: Settings) -> list[str]:
    problems = []
    if not settings.has_keys and not settings.on_loopback and not settings.allow_unauthenticated:
        problems.append(
            f"PROXY_HOST={settings.host} (or the socket of systemd) is reachable by others, and there is no PROXY_API_KEY. "
            "Set a key, listen on 127.0.0.1, or set PROXY_ALLOW_UNAUTHENTICATED=1."
        )
    problems += over_the_ceilings(
        settings.sandbox,
        settings.sandbox_ceiling,
        danger=settings.allow_danger,
        network=settings.workspace_network,
        network_ceiling=settings.network_ceiling,
    )
    if (most := settings.max_bodies_mb) is not None and most < settings.max_body_mb:
        problems.append(f"PROXY_MAX_BODIES_MB={most} is less than PROXY_MAX_BODY_MB={settings.max_body_mb}.")
    if settings.api_key is not None and not settings.api_key.isascii():
        problems.append("PROXY_API_KEY=… is not valid: a bearer token must be ASCII.")
    outside = (
        (env_file.NAMED_BY, settings.env_file),
        ("PROXY_API_KEYS_FILE", settings.api_keys_file),
        ("CODEX_WRAPPER_PROFILE_DIR", settings.profile_dir),
    )
    for name, place in outside:
        if place is not None and (root := root_of(place, settings.roots)):
            problems.append(
                f"{place} lies inside the workspace {root}: an agent could have written it. "
                f"Move it out, or choose another CODEX_WORKDIR; {name} says where it is."
            )
    return problems + (nesting(settings.roots) if settings.commands_write else [])
