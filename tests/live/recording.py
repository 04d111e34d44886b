"""A recording of all that is said to the real CLI and by it: a program for CODEX_PATH that passes every line on."""

import json
import shlex
from pathlib import Path
from typing import Any

import msgspec

_PROGRAM = """\
#!/bin/sh
if [ "$1" = app-server ]; then
    tee {directory}/$$.in | {cli} "$@" | tee {directory}/$$.out
else
    exec {cli} "$@"
fi
"""


class Said(msgspec.Struct, frozen=True):
    """What the CLI was told of one turn: the params of its thread/start and of its turn/start."""

    thread: dict[str, Any]  # Any: as JSON has it
    turn: dict[str, Any]


class Recording:
    """What one server's workers were told. To be read when the server has stopped."""

    def __init__(self, directory: Path, cli: str) -> None:
        self._directory = directory / "recording"
        self._directory.mkdir()
        self.program = self._directory / "codex"
        self.program.write_text(_PROGRAM.format(directory=shlex.quote(str(self._directory)), cli=shlex.quote(cli)))
        self.program.chmod(0o755)

    def turns(self) -> dict[str, Said]:
        """The turns by their prompts."""
        found: dict[str, Said] = {}
        for told in self._directory.glob("*.in"):
            threads: dict[str, dict[str, Any]] = {}
            lines = [json.loads(line) for line in told.read_bytes().splitlines()]
            starts = {line["id"]: line["params"] for line in lines if line.get("method") == "thread/start"}
            for answer in map(json.loads, told.with_suffix(".out").read_bytes().splitlines()):
                if "method" not in answer and answer["id"] in starts:
                    threads[answer["result"]["thread"]["id"]] = starts[answer["id"]]
            for params in (line["params"] for line in lines if line.get("method") == "turn/start"):
                prompt = "".join(part["text"] for part in params["input"])
                assert prompt not in found
                found[prompt] = Said(threads[params["threadId"]], params)
        return found
