"""What commands see of the disk, on the real CLI: no secret of the user's, whenever it appears, no socket, and all tools."""

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from tests.conftest import ProxyStarter, children_of
from tests.live.test_conversations import CALLS, SCRIPTS
from tests.live.test_no_way_out import outputs, runs
from tests.support.agents_tools import use_model

# Where programs keep what opens doors, in the home directory.
_USUAL = [
    ".ssh/id_ed25519",
    ".ssh/config",
    ".gnupg/private-keys-v1.d/k",
    ".aws/credentials",
    ".azure/token",
    ".boto",
    ".netrc",
    ".config/gcloud/token",
    ".config/gh/hosts.yml",
    ".config/hub",
    ".config/glab-cli/config.yml",
    ".git-credentials",
    ".gitconfig",
    ".config/git/credentials",
    ".docker/config.json",
    ".docker/run/docker.sock.txt",
    ".kube/config",
    ".helm/repository",
    ".npmrc",
    ".yarnrc.yml",
    ".pypirc",
    ".pip/pip.conf",
    ".config/pip/pip.conf",
    ".gem/credentials",
    ".bundle/config",
    ".cargo/credentials.toml",
    ".m2/settings.xml",
    ".gradle/gradle.properties",
    ".composer/auth.json",
    ".terraform.d/credentials.tfrc.json",
    ".terraformrc",
    ".pgpass",
    ".my.cnf",
    ".mylogin.cnf",
    ".psql_history",
    ".mysql_history",
    ".rediscli_history",
    ".bash_history",
    ".zsh_history",
    ".local/share/fish/fish_history",
    ".python_history",
    ".node_repl_history",
    ".lesshst",
    ".viminfo",
    ".local/share/keyrings/k",
    ".mozilla/firefox/x/logins.json",
    ".config/google-chrome/Default/Cookies",
    ".config/chromium/Default/Cookies",
    ".thunderbird/x",
    ".claude/.credentials.json",
    ".claude.json",
    ".codex/auth.json",
    ".gemini/oauth",
    ".config/github-copilot/hosts.json",
    ".cursor/x",
    ".cache/huggingface/token",
    ".huggingface/token",
    ".kaggle/kaggle.json",
    ".wandb/x",
    ".config/op/x",
    ".password-store/x.gpg",
    ".vault-token",
    ".consul-token",
    ".fly/config.yml",
    ".config/heroku/x",
    ".s3cfg",
    ".config/rclone/rclone.conf",
    ".putty/x",
    ".local/state/codex-proxy/responses.sqlite",
    ".bashrc",
    ".profile",
    ".Xauthority",
    ".ICEauthority",
]
_SEND = """
import socket, sys
for place in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, place)
    except OSError as error:
        print(error)
"""
_TOOLS = (".cargo/bin/cargo", ".rustup/toolchains/x", ".nvm/versions/node", ".pyenv/shims/python", ".local/bin/tool", "bin/own")


@pytest.fixture
def full_home(home: Home) -> Home:
    for name in (*_USUAL, *_TOOLS):
        file = home.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"CANARY {name}\n")
    return home


@pytest.mark.parametrize(("sandbox", "model_name"), [("read-only", SCRIPTS), ("workspace-write", CALLS)])
async def test_of_the_home_directory_commands_see_what_tools_need_and_nothing_else_that_is_hidden(
    start_proxy: ProxyStarter, model: ModelServer, full_home: Home, environ: dict[str, str], sandbox: str, model_name: str
) -> None:
    use_model(full_home, model_name)
    environ |= {"PROXY_STORE": "memory", "CODEX_ALLOW_READ": f"{full_home.root}/.config/pip:{full_home.root}/.ssh/config"}
    look = f"cd {full_home.root}; cat {' '.join(_USUAL)} {' '.join(_TOOLS)} 2>/dev/null; find . -name '.*' -maxdepth 1"
    async with start_proxy() as proxy:
        [said] = await outputs(proxy, model, runs(look), sandbox=sandbox)
    seen = {line.removeprefix("CANARY ") for line in said.splitlines() if line.startswith("CANARY")}
    assert seen == {*_TOOLS, ".config/pip/pip.conf", ".ssh/config"}


@pytest.fixture
def workdir_elsewhere(home: Home, environ: dict[str, str]) -> Iterator[Path]:
    """A workspace that is not in the home directory."""
    with tempfile.TemporaryDirectory() as made:
        environ["CODEX_WORKDIR"] = made
        yield Path(made)


async def test_a_denied_place_around_others_hides_them_all_and_stops_no_command(
    start_proxy: ProxyStarter, model: ModelServer, full_home: Home, environ: dict[str, str], workdir_elsewhere: Path
) -> None:
    environ |= {"PROXY_STORE": "memory", "CODEX_SANDBOX_MODE": "workspace-write"}
    environ["CODEX_DENY_READ"] = f"{full_home.root}:{full_home.root}/.ssh"
    look = f"echo ran; touch wrote; ls -A {full_home.root}; cat {full_home.root}/bin/own"
    async with start_proxy() as proxy:
        [said] = await outputs(proxy, model, runs(look))
    assert "ran" in said
    assert "CANARY" not in said
    assert (workdir_elsewhere / "wrote").exists()


def _command_lines() -> list[tuple[str, ...]]:
    """Of all that we have started, as `ps` shows them."""
    lines = []
    for pid in children_of(os.getpid()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            lines.append(tuple(Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")))
    return lines


async def test_a_secret_that_appears_or_is_replaced_while_a_command_runs_is_not_seen_by_it(
    in_code_mode: None, start_proxy: ProxyStarter, model: ModelServer, home: Home, environ: dict[str, str]
) -> None:
    environ["CODEX_SANDBOX_MODE"] = "workspace-write"
    env_file = home.root / ".env"
    env_file.write_text("PROXY_API_KEY=CANARY-old\n")
    env_file.chmod(0o600)
    files = f"{env_file} {home.root}/.netrc {home.root}/.new/token {home.root}/later"
    wait = f"touch begun; until [ -e over ]; do sleep 0.05; done; cat {files}; ls -lA {home.root}; echo looked"

    async def replace() -> None:
        while not (home.workdir / "begun").exists():
            await asyncio.sleep(0.01)
        (home.root / "fresh").write_text("PROXY_API_KEY=CANARY-new\n")
        (home.root / "fresh").rename(env_file)
        (home.root / ".netrc").write_text("CANARY-netrc")
        (home.root / ".new").mkdir()
        (home.root / ".new" / "token").write_text("CANARY-token")
        (home.root / "later").write_text("CANARY-later")
        [told] = {line for line in _command_lines() if "bwrap" in line[0]}
        assert [word for word in told[: told.index("--")] if word.startswith((str(env_file), str(home.codex_home)))] == []
        (home.workdir / "over").touch()

    async with start_proxy() as proxy:
        said, _ = await asyncio.gather(outputs(proxy, model, runs(wait)), replace())
    assert "looked" in said[0]
    assert "CANARY" not in said[0]


async def test_with_network_a_command_reaches_ports_and_none_of_the_usual_sockets(
    in_code_mode: None, start_proxy: ProxyStarter, model: ModelServer, home: Home, environ: dict[str, str], tmp_path: Path
) -> None:
    (home.root / ".agent").mkdir()
    places = [tmp_path / "socket", home.root / ".agent" / "socket"]
    listeners = [socket.socket(socket.AF_UNIX) for _ in places]
    for listener, place in zip(listeners, places, strict=True):
        listener.bind(str(place))
        listener.listen()
    tries = "; ".join(f"curl -s -m 1 --unix-socket {place} http://x; [ $? = 28 ] && echo connected" for place in places)
    port = f"curl -s -m 2 {model.base_url}/none -o /dev/null -w '%{{http_code}}'"
    mailboxes = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in places]
    for mailbox, place in zip(mailboxes, places, strict=True):
        mailbox.bind(f"{place}-d")
    (home.workdir / "send.py").write_text(_SEND)  # which needs no network, as the sandbox has it
    send = f"python3 send.py {' '.join(f'{place}-d' for place in places)}"
    environ |= {"CODEX_SANDBOX_MODE": "workspace-write", "CODEX_WORKSPACE_NETWORK_ACCESS": "1"}
    async with start_proxy() as proxy:
        said = await outputs(proxy, model, runs(tries, port, "ls -A /tmp /var/tmp /run /var/run /var/lib", send))
        [sent] = await outputs(proxy, model, runs(send), network_access=False)
    for one in (*listeners, *mailboxes):
        one.close()
    assert (said[3].count("No such file"), sent.count("No such file")) == (2, 2)
    assert "connected" not in said[0]
    assert "404" in said[1]
    assert "systemd" not in said[2]


async def test_a_workspace_in_the_home_directory_works_hidden_or_not(
    start_proxy: ProxyStarter, model: ModelServer, home: Home, environ: dict[str, str]
) -> None:
    places = [home.root / "projects" / "a", home.root / ".hidden" / "b"]
    for place in places:
        place.mkdir(parents=True)
        (place / "mine").write_text("MINE")
    environ |= {"CODEX_WORKSPACES": ":".join(map(str, places)), "CODEX_SANDBOX_MODE": "workspace-write"}
    async with start_proxy() as proxy:
        for place in places:
            [said] = await outputs(proxy, model, runs("cat mine; touch wrote"), cwd=str(place))
            assert "MINE" in said
            assert (place / "wrote").exists()
