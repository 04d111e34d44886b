"""Named keys: reading PROXY_API_KEYS_FILE, finding the key of a token, and the limits of each key.

The file is TOML with a table for each key. It contains only SHA-256 digests, so reading it reveals no key:

    [keys.anna]
    sha256 = "…"                     # of the key, in hexadecimal; everything below is optional
    rate_limit_per_minute = 60       # 0 = no limit; default: RATE_LIMIT_PER_MINUTE
    parallel_turns = 1               # further turns wait; default: all but one of the server's, if there are other keys
    models = ["gpt-5.5"]             # default: all
    sandbox = "workspace-write"      # the widest allowed; default: what the server allows, except danger
    danger = false                   # may ask for danger-full-access, if the server allows it
    network = true                   # may use the network that the server gives to workspace-write
    workspaces = ["/srv/anna"]       # in CODEX_WORKDIR or CODEX_WORKSPACES; default: all of them
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
_Named = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]  # omitted means all; an empty list could be taken for none


class Scope(msgspec.Struct, frozen=True):
    """A caller's limits, on top of the server's own. The default adds none."""

    models: tuple[str, ...] = ()  # ids; empty means all
    sandbox: str = _DANGER
    network: bool = True
    workspaces: tuple[Path, ...] = ()  # real paths; empty means all of the server's

    def has_model(self, model: str) -> bool:
        """Whether a model, given by its id, is allowed."""
        return not self.models or model in self.models


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key's table in the file."""

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
    """A key in use. `rate_limit` is in requests per minute; None in either number means the server's default."""

    name: str
    digest: bytes
    rate_limit: int | None
    parallel_turns: int | None
    scope: Scope
    operator: bool = False


class Keyring:
    """The keys in the file. A changed file is read again; if it is invalid, the previous keys stay in force."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError when the file is invalid."""
        self._settings = settings
        self._file = settings.api_keys_file
        self._version = self._version_now()
        self._keys = load(self._file, settings) if self._file else ()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, token: str) -> Key | None:
        """The key of a token; None if there is none. Takes the same time for every wrong token."""
        if self._version_now() != self._version:
            self.reload()
        digest = digest_of(token)
        found = [key for key in self._keys if hmac.compare_digest(key.digest, digest)]
        return found[0] if found else None

    def name_of(self, digest: bytes) -> str | None:
        """The name of the key with this digest; None when it no longer exists."""
        return next((key.name for key in self._keys if key.digest == digest), None)

    def reload(self) -> None:
        """Read the file again. If it is invalid, log that and keep the previous keys."""
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
    """The keys in a file. Raises SettingsError, which says what is wrong and where."""
    return understood(entries(file), file, settings)


def understood(found: Mapping[str, Entry], file: Path, settings: Settings) -> tuple[Key, ...]:
    """Convert entries to keys. Raises SettingsError for invalid or contradictory ones."""
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
    """The entries of a file by name. Raises SettingsError."""
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
    """The entry itself, validated as if it were read from a file. Raises SettingsError."""
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
