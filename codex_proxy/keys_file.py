"""Add and revoke keys in PROXY_API_KEYS_FILE, for `codex-proxy keys`. The rest of the file is left unchanged."""

import secrets
from pathlib import Path

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from codex_proxy import keys, whole_file
from codex_proxy.keys import Entry
from codex_proxy.settings import Settings, SettingsError

_PREFIX = "cpx_"  # lets secret scanners recognize a key


def add(settings: Settings, name: str, wanted: Entry) -> str:
    """Create a key with the limits of `wanted` and return it; only its digest is stored. Raises SettingsError."""
    file = file_of(settings)
    present = keys.entries(file) if file.exists() else {}
    if name in present:
        raise SettingsError(f"The key {name!r} already exists. Revoke it first, or choose another name.")
    token = _PREFIX + secrets.token_urlsafe(32)
    entry = msgspec.structs.replace(wanted, sha256=keys.digest_of(token).hex())
    keys.understood({name: keys.checked(entry)}, file, settings)
    document = _document(file)
    if "keys" not in document:
        document["keys"] = tomlkit.table(is_super_table=True)
    document["keys"][name] = msgspec.to_builtins(entry)
    _replace(file, document)
    return token


def revoke(settings: Settings, name: str) -> None:
    """Remove a key from the file. Raises SettingsError when there is none of that name."""
    file = file_of(settings)
    if name not in keys.entries(file):
        raise SettingsError(f"There is no key {name!r} in {file}. See: codex-proxy keys list")
    document = _document(file)
    del document["keys"][name]
    _replace(file, document)


def file_of(settings: Settings) -> Path:
    """Path of the keys file. Raises SettingsError when PROXY_API_KEYS_FILE is not set."""
    if settings.api_keys_file is None:
        raise SettingsError(
            "PROXY_API_KEYS_FILE is not set. Set it to the path of the keys file, which need not exist yet. "
            "Example: PROXY_API_KEYS_FILE=~/.config/codex-proxy/keys.toml"
        )
    return settings.api_keys_file


def _document(file: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(file.read_text("utf-8")) if file.exists() else tomlkit.document()
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise SettingsError(f"{file} cannot be read: {error}.") from error


def _replace(file: Path, document: tomlkit.TOMLDocument) -> None:
    """Replace the file, keeping its owner and mode. A new file is readable only by its owner."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        real = file.resolve()  # replace the target of a link, not the link
        whole_file.put(real, tomlkit.dumps(document).encode(), like=real.stat() if real.exists() else None)
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}.") from error
