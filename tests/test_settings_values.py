"""The text of one setting: what it becomes, and what is said of one that is wrong."""

import contextlib
from ipaddress import ip_network
from pathlib import Path

import pytest

from codex_proxy.settings import SETTINGS, Settings, SettingsError, load
from codex_proxy.settings_values import colon_list, comma_list, location, path, text, workspaces

# Every setting whose text can be wrong: values that are, and a word of what is allowed.
_BAD_VALUES = {
    "PROXY_ALLOW_UNAUTHENTICATED": (("2", "maybe", "yes!"), "true"),
    "PROXY_PORT": (("-1", "65536", "http", "80.0", "0x50"), "65535"),
    "PROXY_TRUSTED_PROXIES": (("proxy.example", "10.0.0.1/8", "10.0.0.0/33", "127.0.0.1 ::1", "*"), "10.0.0.0/8"),
    "PROXY_MAX_BODY_MB": (("0", "-1", "1025", "32MB", "1.5"), "1024"),
    "PROXY_MAX_BODIES_MB": (("0", "1048577", "64MB"), "1048576"),
    "PROXY_IMAGE_FETCH": (("2", "https"), "true"),
    "PROXY_CONSOLE": (("2", "page"), "false"),
    "RATE_LIMIT_PER_MINUTE": (("-1", "1000001", "many"), "1000000"),
    "PROXY_UI_TASKS": (("off", "0"), "chat, agent"),
    "CODEX_LIST_MODELS": (("some", "ALL"), "base, all"),
    "CODEX_MODEL_ALIASES": (("gpt-4o", "=x", "a=", "a=b,c"), "NAME=MODEL"),
    "CODEX_SANDBOX_MODE": (("none", "Read-Only", "workspace_write"), "read-only, workspace-write, danger-full-access"),
    "CODEX_SANDBOX_CEILING": (("none", "read_only"), "read-only, workspace-write, danger-full-access"),
    "CODEX_NETWORK_CEILING": (("none", "2"), "true"),
    "CODEX_WORKSPACE_NETWORK_ACCESS": (("full", "-1"), "true"),
    "CODEX_REASONING_EFFORT": (("huge", "Medium"), "minimal"),
    "CODEX_DEFAULT_MODE": (("robot", "CHAT"), "agent, chat"),
    "CODEX_HIDE_REASONING": (("2", "hide"), "true"),
    "CODEX_LOCAL_ONLY": (("2", "localhost"), "true"),
    "CODEX_ALLOW_DANGER_FULL_ACCESS": (("2", "danger"), "true"),
    "CODEX_PROTECT_SECRETS": (("2", "some"), "true"),
    "CODEX_TIMEOUT": (("0", "-1", "nan", "inf", "2m", "86401"), "86400"),
    "CODEX_QUEUE_TIMEOUT": (("0", "-1", "nan", "inf", "soon"), "86400"),
    "CODEX_MAX_PARALLEL_REQUESTS": (("257", "-1001", "two", "1.5"), "from 1 to 256"),
    "CODEX_MAX_QUEUED_REQUESTS": (("0", "-1", "100001"), "100000"),
    "CODEX_CONVERSATION_MINUTES": (("-1", "1.5", "x"), "0"),
    "CODEX_WORKER_MAX_TURNS": (("0", "-1", "x"), "1000000"),
    "CODEX_WORKER_MAX_MB": (("0", "199", "x"), "from 200"),
    "PROXY_DRAIN_SECONDS": (("-1", "nan", "x"), "86400"),
    "PROXY_STORE": (("x", "Memory", "sqlite:/x", "sqlite://x", "postgres://user:secret@db.example"), "redis://"),
    "PROXY_STORE_TTL_HOURS": (("0", "-1", "1000001", "1h"), "1000000"),
    "PROXY_STORE_MAX_MB": (("0", "-1", "1000001", "1GB"), "1000000"),
    "LOG_LEVEL": (("loud", "trace"), "debug, info, warning, error"),
    "LOG_FORMAT": (("xml", "JSON"), "text, json"),
}
_SECRET = ("PROXY_STORE",)  # may hold a password
_ANY_TEXT = (text, path, location, colon_list, workspaces, comma_list)


def test_every_setting_is_read_into_its_member(tmp_path: Path) -> None:
    given = {
        "PROXY_API_KEY": "sk-proxy",
        "PROXY_API_KEYS_FILE": str(tmp_path / "keys.toml"),
        "PROXY_ALLOW_UNAUTHENTICATED": "yes",
        "PROXY_HOST": "0.0.0.0",
        "PROXY_PORT": "0",
        "PROXY_ALLOWED_HOSTS": "a.example, b.example,",
        "PROXY_CORS_ORIGINS": "https://a.example",
        "PROXY_TRUSTED_PROXIES": "127.0.0.1, unix, fd00::/8",
        "PROXY_MAX_BODY_MB": "1024",
        "PROXY_MAX_BODIES_MB": "2048",
        "PROXY_IMAGE_FETCH": "1",
        "PROXY_CONSOLE": "0",
        "RATE_LIMIT_PER_MINUTE": "0",
        "CODEX_PATH": "/opt/codex",
        "CODEX_WORKDIR": str(tmp_path / "work" / ".." / "there"),
        "CODEX_WORKSPACES": f"{tmp_path}/a:{tmp_path}/b",
        "CODEX_CONFIG_DIR": str(tmp_path / "home"),
        "CODEX_WRAPPER_PROFILE_DIR": str(tmp_path / "profile"),
        "CODEX_EXTRA_MODELS": "one,two",
        "CODEX_LIST_MODELS": "all",
        "PROXY_UI_TASKS": "agent",
        "CODEX_MODEL_ALIASES": "gpt-4o = gpt-5.5 chat ,fast=gpt-5.5 low",
        "CODEX_SANDBOX_MODE": "danger-full-access",
        "CODEX_SANDBOX_CEILING": "danger-full-access",
        "CODEX_WORKSPACE_NETWORK_ACCESS": "ON",
        "CODEX_NETWORK_CEILING": "on",
        "CODEX_REASONING_EFFORT": "xhigh",
        "CODEX_DEFAULT_MODE": "chat",
        "CODEX_HIDE_REASONING": "true",
        "CODEX_LOCAL_ONLY": "1",
        "CODEX_ALLOW_DANGER_FULL_ACCESS": "True",
        "CODEX_PROTECT_SECRETS": "off",
        "CODEX_DENY_READ": f"{tmp_path}/secret",
        "CODEX_ALLOW_READ": f"{tmp_path}/shared",
        "CODEX_TIMEOUT": "1.5",
        "CODEX_QUEUE_TIMEOUT": "0.1",
        "CODEX_MAX_PARALLEL_REQUESTS": " 3 ",
        "CODEX_MAX_QUEUED_REQUESTS": "1",
        "CODEX_CONVERSATION_MINUTES": "5",
        "CODEX_WORKER_MAX_TURNS": "1",
        "CODEX_WORKER_MAX_MB": "200",
        "CODEX_CHILD_ENV": "GH_TOKEN",
        "PROXY_DRAIN_SECONDS": "0",
        "PROXY_STORE": "redis://user:secret@db.example:6379/1",
        "PROXY_STORE_TTL_HOURS": "1",
        "PROXY_STORE_MAX_MB": "1000000",
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": "json",
    }
    assert set(given) == {setting.name for setting in SETTINGS}
    settings, warnings = load(given, tmp_path / "elsewhere")
    assert warnings == []
    assert settings == Settings(
        api_key="sk-proxy",
        api_keys_file=tmp_path / "keys.toml",
        allow_unauthenticated=True,
        host="0.0.0.0",
        port=0,
        allowed_hosts=("a.example", "b.example"),
        cors_origins=("https://a.example",),
        trusted_proxies=(ip_network("127.0.0.1"), "unix", ip_network("fd00::/8")),
        max_body_mb=1024,
        max_bodies_mb=2048,
        image_fetch=True,
        console=False,
        rate_limit_per_minute=0,
        codex_path="/opt/codex",
        workdir=tmp_path / "there",
        workspaces=(tmp_path / "a", tmp_path / "b"),
        codex_home=tmp_path / "home",
        profile_dir=tmp_path / "profile",
        extra_models=("one", "two"),
        list_models="all",
        ui_tasks="agent",
        model_aliases=(("gpt-4o", "gpt-5.5 chat"), ("fast", "gpt-5.5 low")),
        sandbox="danger-full-access",
        sandbox_ceiling="danger-full-access",
        workspace_network=True,
        network_ceiling=True,
        reasoning_effort="xhigh",
        default_mode="chat",
        hide_reasoning=True,
        local_only=True,
        allow_danger=True,
        protect_secrets=False,
        deny_read=(tmp_path / "secret",),
        allow_read=(tmp_path / "shared",),
        turn_timeout=1.5,
        queue_timeout=0.1,
        max_parallel=3,
        max_queued=1,
        conversation_minutes=5,
        worker_max_turns=1,
        worker_max_mb=200,
        child_env=("GH_TOKEN",),
        drain_seconds=0.0,
        store="redis://user:secret@db.example:6379/1",
        store_ttl_hours=1,
        store_max_mb=1_000_000,
        log_level="debug",
        log_format="json",
        environ=given,
    )


@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_a_blank_value_counts_as_unset(tmp_path: Path, value: str) -> None:
    keys = ("PROXY_API_KEY", "PROXY_API_KEYS_FILE")  # which end the start instead
    blank = {setting.name: value for setting in SETTINGS if setting.name not in keys}
    settings, _ = load(blank, tmp_path)
    assert settings == Settings(environ=blank)


def test_the_table_of_bad_values_is_complete() -> None:
    assert set(_BAD_VALUES) == {setting.name for setting in SETTINGS if setting.read not in _ANY_TEXT}


@pytest.mark.parametrize("name", _BAD_VALUES)
def test_a_bad_value_is_named_with_what_is_allowed(tmp_path: Path, name: str) -> None:
    values, allowed = _BAD_VALUES[name]
    for value in values:
        error = _error({name: value}, tmp_path)
        shown = "…" if name in _SECRET else repr(value)
        assert error.startswith(f"{name}={shown} is not valid: allowed ")
        assert allowed in error
        assert "\n" not in error


@pytest.mark.parametrize(
    "name", ["CODEX_WORKDIR", "CODEX_CONFIG_DIR", "CODEX_WORKSPACES", "CODEX_DENY_READ", "CODEX_ENV_FILE", "CODEX_HOME"]
)
def test_a_path_of_a_user_that_does_not_exist_is_a_bad_value(tmp_path: Path, name: str) -> None:
    assert _error({name: "~nobody-of-this-name/x"}, tmp_path).startswith(f"{name}=")


@pytest.mark.parametrize("name", ["CODEX_WORKDIR", "CODEX_CONFIG_DIR", "CODEX_WORKSPACES", "CODEX_DENY_READ"])
def test_a_path_of_links_in_a_circle_raises_nothing_of_pythons(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with contextlib.suppress(SettingsError):  # Python 3.13 follows such links no further and does not mind
        load({name: str(tmp_path / "circle")}, tmp_path)


@pytest.mark.parametrize(("given", "counts_as"), [("1", 1), ("0", 1), ("-1", 1), ("-1000", 1), ("256", 256)])
def test_less_than_one_parallel_request_counts_as_one(tmp_path: Path, given: str, counts_as: int) -> None:
    assert load({"CODEX_MAX_PARALLEL_REQUESTS": given}, tmp_path)[0].max_parallel == counts_as


def _error(environ: dict[str, str], cwd: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environ, cwd)
    return str(caught.value)


def test_workspaces_may_be_all_directories_of_one_but_for_links_and_hidden_ones(tmp_path: Path) -> None:
    for name in ("a", "b", ".git"):
        (tmp_path / "all" / name).mkdir(parents=True)
    (tmp_path / "all" / "file").touch()
    (tmp_path / "all" / "link").symlink_to(tmp_path)
    settings, _ = load({"CODEX_WORKSPACES": f"{tmp_path}/all/*:{tmp_path}/c:{tmp_path}/none/*"}, tmp_path)
    assert settings.workspaces == (tmp_path / "all" / "a", tmp_path / "all" / "b", tmp_path / "c")
