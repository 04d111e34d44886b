"""CODEX_LOCAL_ONLY=1: no turn reaches a model provider elsewhere, whoever names it, and no packet leaves the machine."""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codex_proxy import settings
from codex_proxy.codex import command
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step, words
from tests.conftest import Proxy, ProxyStarter

_ELSEWHERE = "http://models.example/v1"
_PROVIDER = 'model = "gpt-5.5"\nmodel_provider = "{name}"\n[model_providers.{name}]\nname = "x"\nbase_url = \'{url}\'\n'


@pytest.fixture
def local_only(environ: dict[str, str]) -> None:
    environ |= {"CODEX_LOCAL_ONLY": "1", "CODEX_MAX_PARALLEL_REQUESTS": "1"}


def _name_provider(home: Home, url: str, name: str = "other") -> None:
    (home.codex_home / "config.toml").write_text(_PROVIDER.format(name=name, url=url))


async def _refused(proxy: Proxy, **members: object) -> bool:
    answer = await proxy.chat(prompt="hi", **members)
    return answer.status == 400 and "not local" in await answer.text()


@pytest.mark.parametrize(
    "configuration",
    [
        'model = "gpt-5.5"\n',
        'model = "gpt-5.5"\nopenai_base_url = "http://127.0.0.1:9/v1"\n',
        'model = "x"\nmodel_provider = "ollama"\n',
        _PROVIDER.format(name="other", url=_ELSEWHERE),
        _PROVIDER.format(name="other", url="http://127.0.0.1.models.example/v1"),
        _PROVIDER.format(name="other", url="http://127.0.0.1@models.example/v1"),
        _PROVIDER.format(name="other", url="http://models.example\\@127.0.0.1/v1"),
        _PROVIDER.format(name="other", url="http://localhost./v1"),
        _PROVIDER.format(name="other", url="http://2130706433/v1"),
        _PROVIDER.format(name="other", url="http://[::ffff:192.0.2.1]/v1"),
    ],
)
async def test_a_provider_that_is_not_certainly_here_gets_no_turn_in_any_mode(
    local_only: None, start_proxy: ProxyStarter, home: Home, environ: dict[str, str], configuration: str
) -> None:
    (home.codex_home / "config.toml").write_text(configuration)
    (home.codex_home / "auth.json").write_text(json.dumps({"OPENAI_API_KEY": "sk-test", "auth_mode": "apikey"}))
    environ |= {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    async with start_proxy() as proxy:
        ready = await (await proxy.http.get(f"{proxy.address}/ready")).text()
        if "not logged in" not in ready:
            assert "not local" in ready
            assert await _refused(proxy)
            assert await _refused(proxy, model="gpt-5.5 chat")
        assert (await proxy.chat(prompt="hi")).status in (400, 503)


async def test_a_project_that_names_a_provider_changes_nothing(
    local_only: None, start_proxy: ProxyStarter, model: ModelServer, home: Home, environ: dict[str, str]
) -> None:
    for directory in (home.workdir, home.workdir / "below"):
        (directory / ".git").mkdir(parents=True)
        (directory / ".codex").mkdir()
        (directory / ".codex" / "config.toml").write_text(_PROVIDER.format(name="demo", url=_ELSEWHERE))
    with (home.codex_home / "config.toml").open("a") as config:
        config.write(f'[projects."{home.workdir}"]\ntrust_level = "trusted"\n')
        config.write(f'[projects."{home.workdir}/below"]\ntrust_level = "trusted"\n')
    async with start_proxy() as proxy:
        for number, cwd in enumerate((None, str(home.workdir / "below")), 1):
            assert (await proxy.chat(prompt="hi", x_codex={"cwd": cwd})).status == 200
            assert model.calls == number


async def test_a_provider_that_moves_away_while_the_server_runs_gets_no_turn(
    local_only: None, start_proxy: ProxyStarter, home: Home, model: ModelServer
) -> None:
    async def elsewhere(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("from elsewhere"))

    async with ModelServer.started(elsewhere) as other, start_proxy() as proxy:
        assert (await proxy.chat(prompt="hi")).status == 200
        # 127.1 is this machine, which we do not take on trust: so it can stand for a machine elsewhere.
        _name_provider(home, other.base_url.replace("127.0.0.1", "127.1"), name="demo")
        async with asyncio.timeout(20):
            while not await _refused(proxy):
                pass
        assert other.calls == 0


def test_no_proxy_is_passed_on_though_the_operator_names_it() -> None:
    given = dict.fromkeys(("HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), "http://proxy.example")
    chosen, _ = settings.load(given | {"CODEX_LOCAL_ONLY": "1", "CODEX_CHILD_ENV": "HTTP_PROXY,all_proxy"}, Path("/"))
    assert not {name for name in command.environment(chosen) if name.lower() in ("http_proxy", "https_proxy", "all_proxy")}
    chosen, _ = settings.load(given, Path("/"))
    assert set(given) <= set(command.environment(chosen))


async def test_a_proxy_in_the_environment_hears_nothing_of_a_local_provider(
    start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer
) -> None:
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as listener:
        address = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        environ |= {"HTTP_PROXY": address, "HTTPS_PROXY": address, "ALL_PROXY": address, "http_proxy": address}
        async with start_proxy() as proxy:
            for name in ("gpt-5.5", "gpt-5.5 chat"):
                assert (await proxy.chat(prompt="hi", model=name)).status == 200
    assert heard == []


def _login() -> str:
    """Of ChatGPT, and expired: what the CLI would renew at its issuer."""

    def part(content: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    account = {"chatgpt_plan_type": "plus", "chatgpt_account_id": "a", "chatgpt_user_id": "u"}
    claims = {"email": "a@example.com", "exp": 1_700_000_000, "https://api.openai.com/auth": account}
    token = ".".join([part({"alg": "none"}), part(claims), "x"])
    tokens = {"id_token": token, "access_token": token, "refresh_token": "r", "account_id": "a"}
    return json.dumps({"auth_mode": "chatgpt", "tokens": tokens, "last_refresh": "2024-01-01T00:00:00Z"})


@pytest.mark.slow
@pytest.mark.parametrize("login", [False, True])
def test_no_packet_leaves_the_machine_and_without_a_network_nothing_is_late(tmp_path: Path, login: bool) -> None:
    for program in ("unshare", "ip"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces are not permitted here")
    arguments = []
    if login:
        (tmp_path / "auth.json").write_text(_login())
        arguments = [str(tmp_path / "auth.json")]
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.live.alone", *arguments],
        env={"PATH": path, "CODEX_LOCAL_ONLY": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["statuses"], told["calls"]) == ([200, 200], 3)
    assert any(place.startswith("192.0.2.1 443") for place in told["control"])
    assert told["strangers"] == []
    assert told["start_seconds"] < 10  # a look-up that nobody answers takes longer
    assert told["turn_seconds"] < 10
