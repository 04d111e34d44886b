"""A program of the tests: turns of a server in a network namespace with nothing but loopback, and what left it all the same.

    unshare -rn python -m tests.live.alone

Every address is routed to loopback, where it is overheard: so whoever tries to reach another machine is seen, the look-up
of a name included. Prints one JSON object.
"""

import asyncio
import contextlib
import ipaddress
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp

from codex_proxy import settings
from codex_proxy.codex import command
from codex_proxy.demo import script
from codex_proxy.demo.home import prepared
from codex_proxy.demo.model import ModelServer
from codex_proxy.web import serving

_ROUTES = (
    "link set lo up",
    "route add local default dev lo",
    "-6 route add local default dev lo",
)
_ALL_PROTOCOLS = 3  # ETH_P_ALL
_LINGER = 1.0  # seconds: what the CLI does on its own it does at once
_DNS = 53  # may have its server on loopback, where a resolver of the system would pass the question on


class Eavesdropper:
    """Hears every packet; `strangers` are the addresses and ports that are not of this machine, and name servers."""

    def __init__(self) -> None:
        self.strangers: set[str] = set()
        self._packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
        self._packets.bind(("lo", 0))
        self._packets.setblocking(False)
        asyncio.get_running_loop().add_reader(self._packets, self._hear)

    def _hear(self) -> None:
        packet = self._packets.recv(65_536)
        if packet[0] >> 4 == 4:
            header, address = (packet[0] & 15) * 4, ipaddress.ip_address(packet[16:20])
        else:
            header, address = 40, ipaddress.ip_address(packet[24:40])
        source, port = (int.from_bytes(packet[header + at : header + at + 2]) for at in (0, 2))
        if _DNS in (source, port) or not (address.is_loopback or address.is_multicast):
            self.strangers.add(f"{address} {port}")


async def _turns(environ: dict[str, str], login: str | None) -> dict[str, object]:
    async with ModelServer.started(script.script) as model:
        with prepared(model.base_url) as home:
            if login is not None:
                (home.codex_home / "auth.json").write_text(login)
            chosen, _ = settings.load(environ | home.environment() | {"PROXY_PORT": "0"}, home.root)
            began = time.monotonic()
            async with serving.listening(chosen, command.find(chosen)) as (server, address):
                await server.supervisors.wait_ready()
                ready = time.monotonic()
                async with aiohttp.ClientSession() as http:
                    statuses = [await _turn(http, address, name) for name in ("gpt-5.5", "gpt-5.5 chat")]
                ended = time.monotonic()
                await asyncio.sleep(_LINGER)
    return {"statuses": statuses, "start_seconds": ready - began, "turn_seconds": ended - ready, "calls": model.calls}


async def _turn(http: aiohttp.ClientSession, address: str, model: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "Please run: `echo hello`"}]}
    async with http.post(f"{address}/v1/chat/completions", json=body) as answer:
        await answer.read()
        return answer.status


async def main(login: str | None) -> None:
    ear = Eavesdropper()
    told = await _turns(dict(os.environ), login)
    told["strangers"] = sorted(ear.strangers)
    ear.strangers.clear()
    with contextlib.suppress(OSError):
        await asyncio.open_connection("192.0.2.1", 443)
    told["control"] = sorted(ear.strangers)  # that the ear hears at all
    print(json.dumps(told))


for route in _ROUTES:
    subprocess.run(["ip", *route.split()], check="-6" not in route, capture_output=True)
asyncio.run(main(Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else None))
