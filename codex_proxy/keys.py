"""Named keys: the file of PROXY_API_KEYS_FILE, whose key a token is, and what that key may do at most.

The file is TOML, a table for each key. It holds SHA-256 digests and no keys, so its readers learn none:

    [keys.anna]
    sha256 = "…"                     # of the key, in hexadecimal; all below may be left out
    rate_limit_per_minute = 60       # 0 = no limit; without it RATE_LIMIT_PER_MINUTE
    parallel_turns = 1               # more of them wait; without it all but one of the server's, if there are other keys
    models = ["gpt-5.5"]             # without it all
    sandbox = "workspace-write"      # the highest; without it what the server allows short of danger
    danger = false                   # may ask for danger-full-access, where the server allows that
    network = true                   # may have the network that the server gives to workspace-write
    workspaces = ["/srv/anna"]       # of CODEX_WORKDIR and CODEX_WORKSPACES; without it all of them
    operator = false                 # sees and stops everybody's turns, not only its own
"""

import hashlib
import hmac
import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import tomli

from codex_proxy.ceilings import SANDBOXES
from codex_proxy.roots import nested
from codex_proxy.settings import Settings, SettingsError, refuse_if_others_may_write
from codex_proxy.settings_values import path
from codex_proxy.whole_file import Version, version

_log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SETTING = "PROXY_API_KEYS_FILE"
_DANGER = SANDBOXES[-1]

_Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_Named = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]  # left out: all; an empty list would be taken for none


class Scope(msgspec.Struct, frozen=True):
    """What somebody may do at most, beside what the server allows anybody. By default that is all of it."""

    models: tuple[str, ...] = ()  # ids; none named: all
    sandbox: str = _DANGER
    network: bool = True
    workspaces: tuple[Path, ...] = ()  # real paths; none named: all of the server's

    def has_model(self, model: str) -> bool:
        """Whether it takes in a model, by its id."""
        return not self.models or model in self.models


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key as it stands in the file."""

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    rate_limit_per_minute: _Count | None = None
    parallel_turns: Annotated[int, msgspec.Meta(ge=1, le=1_000)] | None = None
    models: _Named = ()
    sandbox: str | None = None
    danger: bool = False
    network: bool = True
    workspaces: _Named = ()
    operator: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: dict[str, Entry] = {}


class Key(msgspec.Struct, frozen=True):
    """A key in use. `rate_limit` is in requests a minute; None in either number is the server's own."""

    name: str
    digest: bytes
    rate_limit: int | None
    parallel_turns: int | None
    scope: Scope
    operator: bool = False


class Keyring:
    """The keys of the file as it is now: it is read again when it has changed, and a bad one changes nothing."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError when there is something wrong with the file."""
        self._settings = settings
        self._file = settings.api_keys_file
        self._version = self._version_now()
        self._keys = load(self._file, settings) if self._file else ()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, token: str) -> Key | None:
        """Whose key this is. Takes the same time for every wrong one."""
        if self._version_now() != self._version:
            self.reload()
        digest = digest_of(token)
        found = [key for key in self._keys if hmac.compare_digest(key.digest, digest)]
        return found[0] if found else None

    def name_of(self, digest: bytes) -> str | None:
        """What the key of a digest is called; None when there is none any more."""
        return next((key.name for key in self._keys if key.digest == digest), None)

    def reload(self) -> None:
        """Read the file again; when it is bad, say so and keep the keys."""
        if self._file is None:
            return
        self._version = self._version_now()
        try:
            self._keys = load(self._file, self._settings)
        except SettingsError as error:
            _log.error("keeping the previous keys, revoked ones too, until the file is corrected: %s", error)
        else:
            _log.info("%d keys read from %s", len(self._keys), self._file)

    def _version_now(self) -> Version | None:
        return version(self._file) if self._file else None


def load(file: Path, settings: Settings) -> tuple[Key, ...]:
    """The keys of a file. Raises SettingsError, which says where what is wrong."""
    return understood(entries(file), file, settings)


def understood(found: Mapping[str, Entry], file: Path, settings: Settings) -> tuple[Key, ...]:
    """The keys that entries stand for. Raises SettingsError."""
    names: dict[str, str] = {}
    for name, entry in found.items():
        if (other := names.setdefault(entry.sha256, name)) != name:
            raise SettingsError(f"{_SETTING}={file}: {other!r} and {name!r} are the same key. Revoke one of them.")
    keys = tuple(_key(file, name, entry, settings) for name, entry in found.items())
    if pair := _nested(keys, settings):
        raise SettingsError(
            f"{_SETTING}={file}: the workspace {pair[1]} of one key is inside {pair[0]}, where another key may write: a command "
            "there could put a link in its place. Give each key its own workspaces, or set the outer one to sandbox = read-only."
        )
    return keys


def _nested(keys: Iterable[Key], settings: Settings) -> tuple[Path, Path] | None:
    writing = [key.scope for key in keys if settings.commands_write and key.scope.sandbox != SANDBOXES[0]]
    whole = settings.roots if settings.api_key is not None and settings.commands_write else ()
    return nested([*whole, *(root for scope in writing for root in scope.workspaces or settings.roots)])


def entries(file: Path) -> dict[str, Entry]:
    """The keys of a file as they stand there, by name. Raises SettingsError."""
    try:
        refuse_if_others_may_write(file)
        return msgspec.convert(tomli.loads(file.read_text("utf-8")), _File).keys
    except OSError as error:
        raise SettingsError(
            f"{_SETTING}={file} cannot be read: {error.strerror}. Create a key: codex-proxy keys add NAME"
        ) from error
    except (tomli.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise SettingsError(f"{_SETTING}={file} is not a keys file: {error}.") from error


def checked(entry: Entry) -> Entry:
    """The same entry, if a file could hold it. Raises SettingsError."""
    try:
        return msgspec.convert(msgspec.to_builtins(entry), Entry)
    except msgspec.ValidationError as error:
        raise SettingsError(f"This key is not valid: {error}.") from error


def digest_of(token: str) -> bytes:
    """SHA-256 of a key."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _key(file: Path, name: str, entry: Entry, settings: Settings) -> Key:
    def wrong(what: str) -> SettingsError:
        return SettingsError(f"{_SETTING}={file}: the key {name!r}: {what}.")

    if not NAME.fullmatch(name):
        raise wrong("a name has up to 64 letters, digits, dots, underscores and hyphens")
    if entry.sandbox not in (None, *SANDBOXES):
        raise wrong(f"sandbox is one of {', '.join(SANDBOXES)}")
    if entry.sandbox == _DANGER and not entry.danger:
        raise wrong(f"sandbox = {_DANGER} also needs danger = true")
    try:
        workspaces = tuple(path(place) for place in entry.workspaces)
    except ValueError as error:
        raise wrong(f"one of its workspaces: {error}") from error
    for place in workspaces:
        if not os.path.isdir(place) or not any(place.is_relative_to(root) for root in settings.roots):
            raise wrong(f"the workspace {place} is not a directory in CODEX_WORKDIR or CODEX_WORKSPACES")
    highest = entry.sandbox or (_DANGER if entry.danger else SANDBOXES[-2])
    if highest == _DANGER and not entry.network:
        raise wrong(f"network = false contradicts danger = true: {_DANGER} has no sandbox that could block the network")
    scope = Scope(entry.models, highest, entry.network, workspaces)
    return Key(name, bytes.fromhex(entry.sha256), entry.rate_limit_per_minute, entry.parallel_turns, scope, entry.operator)
