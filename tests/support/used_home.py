"""The databases of a CODEX_HOME in which the CLI has been started before.

In an empty one it makes them, with many migrations that wait for the disk: most of the time of a start. Tests that start a
server begin with copies; `serve --demo`, the README's commands and the packages begin with nothing.
"""

import contextlib
import shutil
import sqlite3
import subprocess
from pathlib import Path

from codex_proxy.demo import home

_HELLO = b'{"id":1,"method":"initialize","params":{"clientInfo":{"name":"test","title":"test","version":"1"}}}\n'
_LIMIT = 60.0  # seconds


def make(codex: str, place: Path) -> None:
    """Start the CLI once, and keep its databases in the directory `place`."""
    with home.prepared("http://127.0.0.1:9/v1") as fresh:
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(fresh.root), "CODEX_HOME": str(fresh.codex_home)}
        process = subprocess.Popen(
            [codex, "app-server"],
            env=environ,
            cwd=fresh.workdir,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(_HELLO)
            process.stdin.flush()
            process.stdout.readline()
            process.communicate(timeout=_LIMIT)  # it ends when nobody speaks to it
        for database in fresh.codex_home.glob("*.sqlite"):
            with contextlib.closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copy(database, place)


def furnish(codex_home: Path, databases: Path) -> None:
    """Put copies of them into a CODEX_HOME that has only its configuration."""
    for database in databases.iterdir():
        shutil.copy(database, codex_home)
