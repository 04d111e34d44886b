"""Connection against the stand-in CLI: what it says and we do not know is ignored, refused where it asks, and counted."""

import os
import sys
from pathlib import Path

from codex_proxy.codex.connection import Connection
from codex_proxy.codex.process import CodexProcess
from tests.support.fakes import codex


async def test_unknown_notifications_and_requests_are_counted_by_method(tmp_path: Path) -> None:
    (tmp_path / "faults").mkdir()
    for step, fault in (("config/read", "floods_stdout"), ("account/read", "asks_everything")):
        (tmp_path / "faults" / step.replace("/", "-")).write_text(fault)
    argv = [sys.executable, codex.__file__, "app-server"]
    async with CodexProcess.started(argv, {"PATH": os.environ["PATH"], "CODEX_HOME": str(tmp_path)}, "/") as process:
        connection = Connection(process)
        await connection.request("config/read", {}, dict)
        assert connection.unknown == {"of/a/version/to/come": 20_000}
        await connection.request("account/read", {}, dict)
    refused = {method: 1 for method, declined in codex.REQUESTS.items() if declined is None}
    assert connection.unknown == {**refused, "of/a/version/to/come": 20_001}
