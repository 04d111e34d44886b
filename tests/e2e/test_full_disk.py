"""A full disk under the store: stored requests are refused, others are served, and all is well again when there is room."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Proxy, ProxyStarter
from tests.support.machine import small_disk_in


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    with small_disk_in(tmp_path, 2) as disk:
        yield disk


async def test_stored_requests_get_503_the_others_are_served_and_it_recovers_by_itself(
    start_proxy: ProxyStarter, environ: dict[str, str], small_disk: Path
) -> None:
    environ["PROXY_STORE"] = f"sqlite://{small_disk}/responses.sqlite"

    async def post(proxy: Proxy, **members: Any) -> tuple[int, dict[str, Any], str | None]:
        answer = await proxy.http.post(f"{proxy.base_url}/responses", json={"input": "x" * 20_000} | members)
        return answer.status, await answer.json(), answer.headers.get("Retry-After")

    async with start_proxy() as proxy:
        status, kept, _ = await post(proxy)
        assert status == 200
        ballast = small_disk / "ballast"
        fill_up = await asyncio.create_subprocess_exec("dd", "if=/dev/zero", f"of={ballast}", "bs=4k", stderr=subprocess.DEVNULL)
        assert await fill_up.wait() != 0  # it ends when the disk is full
        status, refused, retry_after = await post(proxy)
        while status == 200:  # what SQLite had set aside is used up first
            status, refused, retry_after = await post(proxy)
        assert (status, refused["error"]["code"]) == (503, "insufficient_storage")
        assert retry_after is not None
        assert (await post(proxy, store=False))[0] == 200
        assert (await proxy.chat(prompt="hi")).status == 200
        assert (await proxy.http.get(f"{proxy.base_url}/responses/{kept['id']}")).status == 200
        ballast.unlink()
        assert (await post(proxy))[0] == 200
