"""A file of named keys, written as its documentation says and by nothing of ours."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

Bearer = dict[str, str]  # the header that shows a key


def write_keys(file: Path, keys: Mapping[str, Mapping[str, object]]) -> dict[str, Bearer]:
    """Write keys of these names and limits, for their owner alone; what a request with each of them sends."""
    tables = []
    for name, limits in keys.items():
        lines = {"sha256": hashlib.sha256(_token(name).encode()).hexdigest(), **limits}
        tables.append(f"[keys.{name}]\n" + "".join(f"{member} = {json.dumps(value)}\n" for member, value in lines.items()))
    file.write_text("\n".join(tables))
    file.chmod(0o600)
    return {name: bearer(_token(name)) for name in keys}


def bearer(token: str) -> Bearer:
    return {"Authorization": f"Bearer {token}"}


def _token(name: str) -> str:
    return f"cpx_{name}"
