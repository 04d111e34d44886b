"""Paths hidden from commands, whether they exist yet or not.

Hidden are the server's own secrets, everything in the home directory whose name begins with a dot, other users' home
directories, directories where programs keep their sockets, and the checkout that this package runs from. `_TOOLCHAINS` and
CODEX_ALLOW_READ open some of these again; the closest matching ancestor of a path decides. Nothing opens a secret of the server
or a path in CODEX_DENY_READ.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec

import codex_proxy
from codex_proxy.codex import home, profile
from codex_proxy.roots import root_of
from codex_proxy.settings import Settings

_SOCKETS = ("/tmp", "/var/tmp", "/run")  # noqa: S108 (hidden; we create no file there)
_SOCKETS_TOO = ("/var",)  # mysql, lxd, postfix, sssd …: hidden only from commands with network access
_OF_BUBBLEWRAP = ("/dev", "/proc")  # bubblewrap mounts its own
_HOMES = ("/home", "/root")
_STORE_SUFFIXES = ("", "-wal", "-shm", "-journal")  # SQLite's database file and the files it keeps beside it

# Paths in the home directory that compilers, interpreters and package managers need to run; none of them holds credentials.
_TOOLCHAINS = (
    *(".asdf", ".bun/bin", ".cabal/bin", ".cargo/bin", ".cargo/env", ".cargo/git", ".cargo/registry", ".deno/bin", ".dotnet"),
    *(".cache/deno", ".cache/go-build", ".cache/ms-playwright", ".cache/node", ".cache/pip", ".cache/pre-commit"),
    *(".cache/pypoetry/virtualenvs", ".cache/uv", ".cache/yarn", ".composer/vendor", ".config/composer/vendor"),
    *(".fnm", ".gem/ruby", ".ghcup", ".goenv", ".gradle/caches", ".gradle/jdks", ".gradle/wrapper", ".gvm", ".jabba", ".jdks"),
    *(".jenv", ".juliaup", ".linuxbrew", ".local/bin", ".local/lib", ".local/pipx", ".local/share/fnm", ".local/share/gem"),
    *(".local/share/mise", ".local/share/pipx", ".local/share/pnpm", ".local/share/rtx", ".local/share/uv", ".m2/repository"),
    *(".local/share/virtualenvs", ".nix-profile", ".nodebrew", ".nodenv", ".npm/_cacache", ".npm/_npx", ".nvm", ".opam", ".phpenv"),
    *(".pixi/bin", ".pixi/envs", ".pub-cache/bin", ".pub-cache/hosted", ".pyenv", ".rbenv", ".rustup", ".rvm", ".rye", ".sdkman"),
    *(".swiftly", ".virtualenvs", ".volta", ".yarn/bin", ".yarn/berry/cache"),
)
_OPEN_ELSEWHERE = (
    *("/home/linuxbrew", "/run/current-system", "/run/wrappers"),
    *("/var/cache/fontconfig", "/var/lib/ca-certificates", "/var/lib/dpkg", "/var/lib/gems"),
)
_RESOLVER = "/etc/resolv.conf"  # often a link into /run


class Hidden(msgspec.Struct, frozen=True):
    """Which paths are hidden. `places` and `opened` are absolute real paths; names with a leading dot are hidden in `home`."""

    places: frozenset[str]
    opened: frozenset[str]
    home: str

    @classmethod
    def of(cls, settings: Settings, programs: Iterable[str] = (), *, network: bool = False) -> Self:
        """What these settings hide; `programs` are directories that the sandbox itself must be able to read."""
        secret = frozenset(map(str, secrets(settings)))
        own_home = os.path.realpath(home.user_home(settings))
        wanted = [own_home, *(os.path.join(own_home, name) for name in _TOOLCHAINS), *_OPEN_ELSEWHERE]
        wanted += [os.path.realpath(_RESOLVER), *map(str, settings.allow_read), *programs]
        always = (*_SOCKETS, *_OF_BUBBLEWRAP, *_HOMES, *(_SOCKETS_TOO if network else ()), *_checkout(settings))
        shut = cls(secret | (frozenset(always) - {own_home}), frozenset(), own_home)
        opened = (place for place in wanted if shut.hides(place) and not any(step in secret for step in _upwards(place)))
        return cls(shut.places, frozenset(opened), own_home)

    def hides(self, place: str) -> bool:
        """Whether an absolute real path is hidden."""
        for step in _upwards(place):
            if step in self.places:
                return True
            if step in self.opened:
                return False
            parent, _, name = step.rpartition("/")
            if parent == self.home and name.startswith("."):
                return True
        return False


def secrets(settings: Settings) -> list[Path]:
    """The server's own secrets and the paths in CODEX_DENY_READ, each as named and as its real path."""
    places = [home.codex_home(settings), *settings.deny_read]
    places += [file for file in profile.names(settings) if root_of(file, settings.roots) is None]  # else it is not used
    places += [place for place in (settings.env_file, settings.api_keys_file) if place is not None]
    places += [Path(f"{settings.store_file}{suffix}") for suffix in _STORE_SUFFIXES if settings.store_file is not None]
    return list(
        dict.fromkeys(
            form for place in places for form in (Path(os.path.realpath(place.parent)) / place.name, Path(os.path.realpath(place)))
        )
    )


def _checkout(settings: Settings) -> Iterable[str]:
    """The checkout of this package, if it runs from one: with an env file in it, each of its entries would be a mount."""
    place = Path(os.path.realpath(codex_proxy.__file__)).parent.parent
    if (place / "setup.py").exists() and root_of(place, (*settings.roots, *settings.allow_read)) is None:
        yield str(place)


def _upwards(place: str) -> Iterable[str]:
    while place != "/":
        yield place
        place = place.rpartition("/")[0] or "/"
    yield "/"
