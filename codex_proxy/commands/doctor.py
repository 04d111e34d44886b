"""`codex-proxy doctor`: print the findings of `codex_proxy/doctor.py`, one per line, and a summary."""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from codex_proxy import doctor, settings
from codex_proxy.commands import place
from codex_proxy.commands.running import BROKE
from codex_proxy.commands.terminal import Style
from codex_proxy.doctor import Finding

_STATUS, _CHECK = 8, 9  # columns

EPILOG = """It costs no turn and changes nothing.
The exit code is 1 if the server could not run turns here."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the findings as a JSON array")


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_examine(place.out_style(), as_json=arguments.json))


async def _examine(style: Style, *, as_json: bool) -> int:
    findings: list[Finding] = []
    async for finding in doctor.examine(settings.os_environment(), Path.cwd(), place.program()):
        findings.append(finding)
        if not as_json:
            print(line(finding, style), flush=True)
    if as_json:
        print(msgspec.json.encode(findings).decode())
    else:
        print(f"\n{summary(findings, style)}")
    return BROKE if any(finding.status == "failed" for finding in findings) else 0


def line(finding: Finding, style: Style) -> str:
    """Format one finding, followed by the remedy in bold."""
    shown = {"ok": style.good, "warning": style.warn, "failed": style.bad, "skipped": style.dim}[finding.status]
    remedy = f" {style.bold(finding.remedy)}" if finding.remedy else ""
    return f"{shown(finding.status.ljust(_STATUS))} {finding.check.ljust(_CHECK)} {finding.message}{remedy}"


def summary(findings: Sequence[Finding], style: Style) -> str:
    """Summarize all findings."""
    failed = [finding.check for finding in findings if finding.status == "failed"]
    warned = [finding.check for finding in findings if finding.status == "warning"]
    skipped = [finding.check for finding in findings if finding.status == "skipped"]
    if failed:
        problems = "1 problem" if len(failed) == 1 else f"{len(failed)} problems"
        after = f" Not checked: {', '.join(skipped)}." if skipped else ""
        return style.bad(f"{problems}: {', '.join(dict.fromkeys(failed))}.") + after
    if warned:
        return style.warn(f"The server can run turns here. See the warnings: {', '.join(dict.fromkeys(warned))}.")
    return style.good("The server can run turns here.")
