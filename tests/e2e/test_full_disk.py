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


async def _fill(ballast: Path) -> None:
    dd = await asyncio.create_subprocess_exec("dd", "if=/dev/zero", f"of={ballast}", "bs=4k", stderr=subprocess.DEVNULL)
    assert await dd.wait() != 0  # it ends when the disk is full


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
        await _fill(ballast)
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


async def test_a_conversation_and_a_socket_outlive_a_full_disk(
    start_proxy: ProxyStarter, environ: dict[str, str], small_disk: Path
) -> None:
    environ["PROXY_STORE"] = f"sqlite://{small_disk}/responses.sqlite"
    async with start_proxy() as proxy:
        url, socket_url = proxy.base_url, f"{proxy.base_url}/responses"
        item = {"type": "message", "role": "user", "content": "x" * 20_000}

        async def posted(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            answer = await proxy.http.post(f"{url}/{path}", json=body)
            return answer.status, await answer.json()

        _, conversation = await posted("conversations", {"items": [item]})
        items = f"conversations/{conversation['id']}/items"
        async with proxy.http.ws_connect(socket_url) as socket:

            async def told(**members: Any) -> dict[str, Any]:
                """The last event of a response."""
                await socket.send_json({"type": "response.create", "input": "x" * 20_000} | members)
                while True:
                    event: dict[str, Any] = await socket.receive_json(timeout=20)
                    if event["type"] in ("response.completed", "response.failed", "error"):
                        return event

            assert (await told())["type"] == "response.completed"
            ballast = small_disk / "ballast"
            fill_up = await asyncio.create_subprocess_exec(
                "dd", "if=/dev/zero", f"of={ballast}", "bs=4k", stderr=subprocess.DEVNULL
            )
            assert await fill_up.wait() != 0
            status, refused = await posted(items, {"items": [item]})
            appended = 0
            while status == 200:  # what SQLite had set aside is used up first
                appended += 1
                status, refused = await posted(items, {"items": [item]})
            assert (status, refused["error"]["code"]) == (503, "insufficient_storage")
            status, refused = await posted("responses", {"input": "x" * 20_000, "conversation": conversation["id"]})
            assert (status, refused["error"]["code"]) == (503, "insufficient_storage")
            assert (await told())["error"]["code"] == "insufficient_storage"
            assert (await told(store=False))["type"] == "response.completed"
            assert (await posted("responses/compact", {"input": [item]}))[0] == 200
            page = await (await proxy.http.get(f"{url}/{items}", params={"limit": "100"})).json()
            assert len(page["data"]) == 1 + appended
            ballast.unlink()
            assert (await told())["type"] == "response.completed"
            assert (await posted(items, {"items": [item]}))[0] == 200
            assert (await posted("responses", {"input": "hi", "conversation": conversation["id"]}))[0] == 200
