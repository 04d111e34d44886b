"""`codex-proxy doctor`: the findings of `codex_proxy/doctor.py`, a line each, and a summary."""

import argparse
import asyncio
from pathlib import Path

import msgspec

from codex_proxy import doctor, settings
from codex_proxy.commands.running import BROKE
from codex_proxy.doctor import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the findings as a JSON array")


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_examine(as_json=arguments.json))


async def _examine(*, as_json: bool) -> int:
    findings: list[Finding] = []
    async for finding in doctor.examine(settings.os_environment(), Path.cwd()):
        findings.append(finding)
        if not as_json:
            print(finding.line(), flush=True)
    if as_json:
        print(msgspec.json.encode(findings).decode())
    return BROKE if any(finding.status == "failed" for finding in findings) else 0
