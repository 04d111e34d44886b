"""Codex's home: what changes there while we look."""

import threading
from pathlib import Path

from codex_proxy.codex import home
from codex_proxy.settings import Settings


def test_a_login_that_vanishes_while_it_is_looked_at_is_none(tmp_path: Path) -> None:
    file, over = tmp_path / "auth.json", threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            file.touch()
            file.unlink()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(3_000):
            assert len(home.login_versions(Settings(codex_home=tmp_path))) == 2
    finally:
        over.set()
        thread.join()
