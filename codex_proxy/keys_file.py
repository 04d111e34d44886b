"""Changing the file of PROXY_API_KEYS_FILE: `codex-proxy keys add`, `revoke`. What else stands in it stays as it is."""

import contextlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from codex_proxy import keys
from codex_proxy.keys import Entry
from codex_proxy.settings import Settings, SettingsError

_PREFIX = "cpx_"  # so that secret scanners can know one


def add(settings: Settings, name: str, wanted: Entry) -> str:
    """Make a key with the limits of `wanted`; returns it, the only time that it can be seen. Raises SettingsError."""
    file = _file(settings)
    present = keys.entries(file) if file.exists() else {}
    if name in present:
        raise SettingsError(f"There is a key {name!r} already. Revoke it first, or choose another name.")
    token = _PREFIX + secrets.token_urlsafe(32)
    entry = msgspec.structs.replace(wanted, sha256=keys.digest_of(token).hex())
    keys.understood({name: keys.checked(entry)}, file, settings)
    document = _document(file)
    if "keys" not in document:
        document["keys"] = tomlkit.table(is_super_table=True)
    document["keys"][name] = msgspec.to_builtins(entry)
    _replace(file, document)
    return token


def listed(settings: Settings) -> dict[str, Entry]:
    """The keys by name. Raises SettingsError."""
    return keys.entries(_file(settings))


def revoke(settings: Settings, name: str) -> None:
    """Take a key out of the file. Raises SettingsError when there is none of that name."""
    file = _file(settings)
    if name not in keys.entries(file):
        raise SettingsError(f"There is no key {name!r} in {file}. See: codex-proxy keys list")
    document = _document(file)
    del document["keys"][name]
    _replace(file, document)


def _file(settings: Settings) -> Path:
    if settings.api_keys_file is None:
        raise SettingsError("There is no PROXY_API_KEYS_FILE. Set it to the file that is to hold the keys.")
    return settings.api_keys_file


def _document(file: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(file.read_text("utf-8")) if file.exists() else tomlkit.document()
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise SettingsError(f"{file} cannot be read: {error}.") from error


def _replace(file: Path, document: tomlkit.TOMLDocument) -> None:
    """Put a new file in the place of the old one, in one step; a first one is readable by us alone."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}.") from error
    new = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as stream:
            stream.write(tomlkit.dumps(document))
            stream.flush()
            os.fsync(number)
            if file.exists():
                _take_after(number, file.stat())
        new.replace(file.resolve())  # what a link leads to, not the link
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}.") from error
    finally:
        new.unlink(missing_ok=True)


def _take_after(number: int, old: os.stat_result) -> None:
    """The owner and mode of the old file: root may change a file that the server reads as somebody else."""
    os.fchmod(number, stat.S_IMODE(old.st_mode))
    with contextlib.suppress(PermissionError):
        os.fchown(number, old.st_uid, old.st_gid)
