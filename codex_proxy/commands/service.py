"""`codex-proxy service`: install, start, show and remove a systemd unit for this installation.

As root it is a system service with its own user, otherwise a user service. The units are those of systemd/ and docs/examples/, with
this installation's paths.
"""

import argparse
import os
import pwd
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import msgspec

from codex_proxy import settings, whole_file
from codex_proxy.commands import place
from codex_proxy.errors import CommandFailed

_UNIT = "codex-proxy.service"
_USER = "codex-proxy"
_NOT_INSTALLED = 3  # the exit code of systemctl status for a unit that is not active
_HIDDEN = ("/home", "/root", "/run/user")  # hidden from a system service by ProtectHome=
_EXEC = re.compile(r"^ExecStart=.*$", re.MULTILINE)
_WORKDIR = re.compile(r"^Environment=CODEX_WORKDIR=.*$", re.MULTILINE)
_NO_MANAGER = re.compile(r"connect to (\S+ \S+ )?bus|not been booted with systemd|XDG_RUNTIME_DIR")
_HEAD = re.compile(r"\A(#[^\n]*\n)+\n")


class NoManager(CommandFailed):
    """systemctl cannot reach systemd."""


class Scope(msgspec.Struct, frozen=True):
    """The systemd instance: the system's or the user's."""

    system: bool

    @property
    def unit_file(self) -> Path:
        return (Path("/etc") if self.system else self._config) / ("systemd/system" if self.system else "systemd/user") / _UNIT

    @property
    def env_file(self) -> Path:
        return (Path("/etc") if self.system else self._config) / "codex-proxy" / "codex-proxy.env"

    @property
    def _config(self) -> Path:
        return Path(settings.os_environment().get("XDG_CONFIG_HOME") or Path.home() / ".config")

    def systemctl(self, *words: str) -> list[str]:
        return ["systemctl", *([] if self.system else ["--user"]), *words]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, act, summary in (
        ("install", _install, "write the unit, start it, and start it at every boot (or login)"),
        ("uninstall", _uninstall, "stop it and remove the unit; settings and state stay"),
        ("status", _status, "show whether it runs"),
    ):
        one = commands.add_parser(name, help=summary)
        whose = one.add_mutually_exclusive_group()
        whose.add_argument("--system", action="store_true", default=None, help="the system's (as root; then the default)")
        whose.add_argument("--user", dest="system", action="store_false", help="your own")
        if name == "install":
            one.add_argument("--print", dest="only_print", action="store_true", help="print the unit, and do nothing")
        one.set_defaults(act=act)


def run(arguments: argparse.Namespace) -> int:
    system = os.geteuid() == 0 if arguments.system is None else bool(arguments.system)
    code: int = arguments.act(Scope(system), arguments)
    return code


def _install(scope: Scope, arguments: argparse.Namespace) -> int:
    unit = unit_text(scope, _program())
    if arguments.only_print:
        print(unit, end="")
        return 0
    _need_systemd()
    if scope.system:
        _prepare_system(scope)
    before = scope.unit_file.read_bytes() if scope.unit_file.exists() else None
    _write(scope, unit)
    try:
        _run(scope.systemctl("daemon-reload"))
    except NoManager:
        if before is None:
            scope.unit_file.unlink()
        else:
            whole_file.put(scope.unit_file, before)
        raise
    _run(scope.systemctl("enable", _UNIT))
    _run(scope.systemctl("restart", _UNIT))
    print(_installed(scope))
    return 0


def _uninstall(scope: Scope, _: argparse.Namespace) -> int:
    _need_systemd()
    if not scope.unit_file.exists():
        raise CommandFailed(f"There is no {scope.unit_file}: nothing to remove.")
    reached = True
    try:
        _run(scope.systemctl("disable", "--now", _UNIT))
    except NoManager:
        reached = False
        _remove_link(scope)
    try:
        scope.unit_file.unlink()
    except OSError as error:
        raise CommandFailed(f"{scope.unit_file} cannot be removed: {error.strerror}.") from error
    if reached:
        _run(scope.systemctl("daemon-reload"))
    else:
        print("systemd could not be reached: if the service still runs there, it runs until that ends.", file=sys.stderr)
    print(f"Removed {scope.unit_file}. Settings ({scope.env_file}), login and stored responses are kept.")
    return 0


def _status(scope: Scope, _: argparse.Namespace) -> int:
    _need_systemd()
    if not scope.unit_file.exists():
        print(f"Not installed: there is no {scope.unit_file}. Run: {place.program()} service install", file=sys.stderr)
        return _NOT_INSTALLED
    return subprocess.run(scope.systemctl("status", "--no-pager", _UNIT), check=False).returncode


def unit_text(scope: Scope, program: Path) -> str:
    """Return the unit for a program of this installation."""
    name = _UNIT if scope.system else "codex-proxy.user.service"
    text = (resources.files("codex_proxy.commands") / "units" / name).read_text("utf-8")
    text = _HEAD.sub("# Written by: codex-proxy service install\n\n", text)
    text = _EXEC.sub(lambda _: f"ExecStart={_quoted(str(program))} serve", text)
    if scope.system:
        return text
    environ = settings.os_environment()  # the manager's own PATH lacks the user's npm and pipx
    kept = {"CODEX_WORKDIR": "%h/codex-workspace"}
    kept |= {name: environ[name].replace("%", "%%") for name in ("PATH", "CODEX_HOME") if environ.get(name)}
    return _WORKDIR.sub(lambda _: "\n".join(f"Environment={_quoted(f'{name}={value}')}" for name, value in kept.items()), text)


def _quoted(word: str) -> str:
    """Quote one word as in systemd.syntax(7)."""
    return word if re.fullmatch(r"[\w%@:=,./+-]+", word) else '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _program() -> Path:
    """Return this installation's command, not the link or shim by which it was called."""
    beside = Path(sys.executable).parent / "codex-proxy"
    found = beside if beside.exists() else Path(shutil.which("codex-proxy") or sys.argv[0])
    return found.absolute()


def _prepare_system(scope: Scope) -> None:
    """Ensure what a system service needs: root, a program that it can see, a user."""
    if os.geteuid() != 0:
        raise CommandFailed(f"A system service needs root. Run: sudo {_program()} service install --system, or leave out --system.")
    program = _program()
    if str(program.resolve()).startswith(tuple(f"{one}/" for one in _HIDDEN)):
        raise CommandFailed(
            f"A system service cannot see {program}: install codex-proxy into a virtual environment in /opt/codex-proxy, "
            f"or install a user service: {place.program()} service install --user"
        )
    try:
        pwd.getpwnam(_USER)
    except KeyError:
        home = ("--home-dir", "/var/lib/codex-proxy", "--shell", "/usr/sbin/nologin")
        _run(["useradd", "--system", *home, _USER])
    scope.env_file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)


def _write(scope: Scope, unit: str) -> None:
    try:
        scope.unit_file.parent.mkdir(parents=True, exist_ok=True)
        whole_file.put(scope.unit_file, unit.encode())
        scope.unit_file.chmod(0o644)
    except OSError as error:
        raise CommandFailed(f"{scope.unit_file} cannot be written: {error.strerror}.") from error


def _need_systemd() -> None:
    if shutil.which("systemctl") is None:
        raise CommandFailed(f"systemctl was not found: this machine does not use systemd. {_instead()}")


def _instead() -> str:
    return f"Start the server with: {place.program()} serve"


def _remove_link(scope: Scope) -> None:
    """Remove the link by which systemd would start the unit, as systemctl disable does."""
    for link in scope.unit_file.parent.glob(f"*.wants/{_UNIT}"):
        link.unlink(missing_ok=True)


def _run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        if _NO_MANAGER.search(said):
            raise NoManager(_unreachable(said, system="--user" not in words))
        raise CommandFailed(f"{' '.join(words)} ended with {done.returncode}: {said}")


def _unreachable(said: str, *, system: bool) -> str:
    if system:
        return f"systemd does not run here ({said}). {_instead()}"
    return (
        f"No systemd of this user runs here ({said}), as in a container, or after su or sudo. Log in as the user directly, or "
        "let its systemd run without a login: sudo loginctl enable-linger USER, with XDG_RUNTIME_DIR=/run/user/UID. "
        f"Or install a service of the system: sudo {_program()} service install --system. Or without systemd: "
        f"{place.program()} serve"
    )


def _installed(scope: Scope) -> str:
    journal = f"journalctl {'' if scope.system else '--user '}-u codex-proxy -f"
    login = f"{_program()} login"
    if scope.system:
        login = (
            "systemd-run --pty --uid=codex-proxy -p Environment=CODEX_CONFIG_DIR=/var/lib/codex-proxy/codex "
            f"{_program()} login --device-auth"
        )
    lines = [
        f"Installed {scope.unit_file}. It is running, and starts again with the {'machine' if scope.system else 'session'}.",
        "",
        f"Status    {place.program()} service status",
        f"Log       {journal}",
        f"Settings  {scope.env_file} (chmod 600); then: {' '.join(scope.systemctl('restart', 'codex-proxy'))}",
        f"Login     {login}",
    ]
    return "\n".join([*lines, *([] if scope.system else ["Logged out too: loginctl enable-linger"])])
