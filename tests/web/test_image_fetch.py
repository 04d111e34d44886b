"""Fetching images: from a real TLS host, of public hosts only, and with bounds on everything."""

import asyncio
import base64
import socket
import threading
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from codex_proxy import tasks
from codex_proxy.dialects import images
from codex_proxy.errors import InvalidRequest
from codex_proxy.history import Image
from codex_proxy.web import public_hosts
from codex_proxy.web.image_fetch import ImageFetch
from codex_proxy.web.public_hosts import Address, is_name, is_public
from tests.support.machine import free_port
from tests.support.picture_host import NAME, PictureHost
from tests.support.pictures import PIXEL, png

_ADDRESS = f"https://{NAME}/a.png"
_PLACE = "messages[0].content[0].image_url.url"
_CONTENT = base64.b64decode(PIXEL.partition(",")[2])
_PNG = {"Content-Type": "image/png"}
_UNREACHABLE = "The image could not be fetched."


def _link(address: str = _ADDRESS, place: str = _PLACE) -> Image:
    return Image(address, None, place)


async def _picture(_: web.Request) -> web.StreamResponse:
    return web.Response(body=_CONTENT, content_type="image/png")


@pytest.fixture
async def host() -> AsyncIterator[PictureHost]:
    """Set `host.answer` to something else than the picture."""
    async with PictureHost.started(_picture) as started:
        yield started


async def _refused(fetch: ImageFetch, *links: Image) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        async with asyncio.timeout(10):
            await fetch.fetch(links or (_link(),), "anna")
    assert caught.value.param == _PLACE
    assert "127.0.0" not in caught.value.message
    return caught.value


async def test_an_image_comes_as_a_data_url_and_the_host_learns_nothing_of_the_caller(host: PictureHost) -> None:
    assert await host.fetch().fetch([_link(), _link(place="messages[1].content[0].image_url.url")], "anna") == {_ADDRESS: PIXEL}
    assert host.greeted == host.looked_up == [NAME]
    (request,) = host.requests
    assert request.headers["Host"].partition(":")[0] == NAME
    assert set(request.headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}
    assert request.headers["User-Agent"] == "codex-proxy"


async def test_nothing_is_fetched_unless_the_operator_allows_it(host: PictureHost) -> None:
    fetch = host.fetch(allowed=False)
    assert await fetch.fetch([], "anna") == {}
    assert "PROXY_IMAGE_FETCH=1" in (await _refused(fetch)).message
    assert host.looked_up == []


async def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_looked_at(host: PictureHost) -> None:
    answers = [[host.address], [("127.0.0.2", host.address[1])]]

    async def rebinding(_: str) -> list[Address]:
        return answers.pop(0)

    fetch = host.fetch(resolve=rebinding)
    assert await fetch.fetch([_link()], "anna") == {_ADDRESS: PIXEL}
    assert len(answers) == 1
    assert (await _refused(fetch)).message == _UNREACHABLE
    assert len(host.requests) == 1


async def test_one_address_inside_is_enough_to_refuse_a_name(host: PictureHost) -> None:
    async def mixed(_: str) -> list[Address]:
        return [host.address, ("127.0.0.2", host.address[1])]

    await _refused(host.fetch(resolve=mixed))
    assert host.greeted == []


async def test_a_host_inside_a_closed_port_and_a_name_of_nobody_are_told_alike(host: PictureHost) -> None:
    async def inside(_: str) -> list[Address]:
        return [("127.0.0.2", host.address[1])]

    async def closed(_: str) -> list[Address]:
        return [("127.0.0.1", free_port())]

    async def nobody(_: str) -> list[Address]:
        raise OSError("Name or service not known")

    async def nowhere(_: str) -> list[Address]:
        return []

    told = [(await _refused(host.fetch(resolve=resolve))).message for resolve in (inside, closed, nobody, nowhere)]
    assert told == [_UNREACHABLE] * 4


async def test_a_certificate_that_is_not_the_hosts_is_refused(host: PictureHost) -> None:
    assert (await _refused(host.fetch(), _link("https://other.example/a.png"))).message == _UNREACHABLE
    assert (await _refused(host.fetch(tls=True))).message == _UNREACHABLE
    assert host.requests == []


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1/a.png",
        "https://127.1/a.png",
        "https://2130706433/a.png",
        "https://0x7f000001/a.png",
        "https://1.2.3.0x4/a.png",
        "https://[::1]/a.png",
        "https://[::ffff:127.0.0.1]/a.png",
        "https://localhost/a.png",
        "https://metadata/a.png",
        f"https://{NAME}:8443/a.png",
        f"https://{NAME}:99999/a.png",
        f"https://user@{NAME}/a.png",
        f"https://:secret@{NAME}/a.png",
        f"https://{NAME}./a.png",
        "https:///a.png",
        "https://",
        "https://[x",
        "https://a..example/a.png",
        "https://a b.example/a.png",
    ],
)
async def test_an_address_that_is_not_plain_is_refused_before_anybody_is_asked(host: PictureHost, address: str) -> None:
    assert "https on port 443" in (await _refused(host.fetch(), _link(address))).message
    assert host.looked_up == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(host: PictureHost, status: int) -> None:
    async def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": f"https://{NAME}/b.png"} | _PNG, body=_CONTENT)

    host.answer = redirect
    assert "redirects" in (await _refused(host.fetch())).message
    assert len(host.requests) == 1


async def test_proxies_of_the_environment_are_not_used(host: PictureHost, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert await host.fetch().fetch([_link()], "anna") == {_ADDRESS: PIXEL}


async def test_a_file_that_says_that_it_is_too_large_is_not_waited_for(host: PictureHost) -> None:
    async def announce(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=_PNG | {"Content-Length": str(images.MAX_BYTES + 1)})
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    host.answer = announce
    assert "20 MB" in (await _refused(host.fetch())).message


async def test_a_file_without_an_end_is_cut_off(host: PictureHost) -> None:
    sent = 0
    cut = asyncio.Event()

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers=_PNG)
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(2**20))
                sent += 2**20
                await asyncio.sleep(0)  # a write may not wait, and the loop must learn that the client has left
        finally:
            cut.set()

    host.answer = pour
    assert "20 MB" in (await _refused(host.fetch())).message
    async with asyncio.timeout(5):
        await cut.wait()
    assert sent < 2 * images.MAX_BYTES


@pytest.mark.parametrize("stage", ["resolve", "headers", "body"])
async def test_a_slow_host_is_given_up(host: PictureHost, stage: str) -> None:
    async def late(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=_PNG)
        if stage == "body":
            await response.prepare(request)
            await response.write(_CONTENT[:20])
        await asyncio.Event().wait()
        return response

    async def never(_: str) -> list[Address]:
        await asyncio.Event().wait()
        return []

    host.answer = late
    fetch = host.fetch(timeout=0.3, resolve=never if stage == "resolve" else None)
    assert (await _refused(fetch)).message == _UNREACHABLE


@pytest.mark.parametrize("declared", ["application/octet-stream", "image/gif", "image/jpg"])
async def test_an_image_is_what_its_bytes_say(host: PictureHost, declared: str) -> None:
    async def give(_: web.Request) -> web.StreamResponse:
        return web.Response(body=_CONTENT, content_type=declared)

    host.answer = give
    assert await host.fetch().fetch([_link()], "anna") == {_ADDRESS: PIXEL}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (web.Response(status=404, body=_CONTENT, headers=_PNG), "answered 404"),
        (web.Response(text="<svg/>", content_type="image/svg+xml"), "not a PNG"),
        (web.Response(text="<html>", content_type="image/png"), "not a PNG"),
        (web.Response(body=_CONTENT, headers=_PNG | {"Content-Encoding": "gzip"}), "compresses"),
        (web.Response(body=b"\x7fELF", headers=_PNG), "not a PNG"),
        (web.Response(body=png(60_000, 60_000), headers=_PNG), "60000 x 60000"),
    ],
)
async def test_what_is_no_image_is_refused(host: PictureHost, answer: web.Response, said: str) -> None:
    async def give(_: web.Request) -> web.StreamResponse:
        return answer

    host.answer = give
    assert said in (await _refused(host.fetch())).message


async def test_the_place_is_that_of_the_image_at_fault(host: PictureHost) -> None:
    async def give(request: web.Request) -> web.StreamResponse:
        return web.Response(body=_CONTENT if request.path == "/a.png" else b"", headers=_PNG)

    host.answer = give
    await _refused(host.fetch(), _link(place="messages[0].content[1].image_url.url"), _link(f"https://{NAME}/b.png"))


async def test_the_images_of_a_request_are_bounded_in_number_and_in_size(host: PictureHost) -> None:
    links = [_link(f"https://{NAME}/{number}.png") for number in range(11)]
    assert "10 image URLs" in (await _refused(host.fetch(), *links)).message
    assert host.looked_up == []
    assert "Together" in (await _refused(host.fetch(most_bytes=2 * len(PIXEL)), *links[:3])).message


async def test_a_few_are_fetched_at_once_and_no_more(host: PictureHost) -> None:
    under_way, most = 0, 0
    four = asyncio.Event()

    async def count(_: web.Request) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 4:
            four.set()
        await four.wait()
        under_way -= 1
        return web.Response(body=_CONTENT, headers=_PNG)

    host.answer = count
    fetch = host.fetch()
    async with asyncio.timeout(10):
        await asyncio.gather(*(fetch.fetch([_link()], str(number)) for number in range(9)))
    assert most == 4


async def test_a_caller_whose_hosts_are_slow_keeps_no_other_from_having_his_images_fetched(host: PictureHost) -> None:
    released, begun = asyncio.Event(), 0

    async def slow(request: web.Request) -> web.StreamResponse:
        nonlocal begun
        if request.path == "/slow.png":
            begun += 1
            await released.wait()
        return web.Response(body=_CONTENT, headers=_PNG)

    host.answer = slow
    fetch = host.fetch()
    of_anna = [tasks.spawn("anna's", fetch.fetch([_link(f"https://{NAME}/slow.png")], "anna")) for _ in range(9)]
    async with asyncio.timeout(10):
        while begun < 2:
            await asyncio.sleep(0)
        assert await fetch.fetch([_link()], "bert") == {_ADDRESS: PIXEL}
        assert begun == 2
        released.set()
        await asyncio.gather(*of_anna)


async def test_names_whose_servers_do_not_answer_take_no_thread_that_others_need(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        answered.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    lookups = [tasks.spawn("look up", public_hosts.look_up(f"{number}.example")) for number in range(40)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(int) == 0
    finally:
        answered.set()
        await asyncio.gather(*lookups)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2001:4860:4860::8888"])
def test_a_host_on_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1"),
        *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::127.0.0.1", "::ffff:8.8.8.8", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "100::1"),
        *("2001::1", "2001:0:a00:1::", "2001:db8::1", "2002:a00:1::", "2002:808:808::1", "3fff::1", "fc00::1", "fd00:ec2::254"),
        *("fe80::1", "fe80::1%eth0", "2606:4700::1%1", "fec0::1", "ff02::1", "localhost", "", "8.8.8.8 ", "010.8.8.8"),
    ],
)
def test_no_other_address_is_public(address: str) -> None:
    assert not is_public(address)


def test_a_name_has_a_dot_and_no_number_at_its_end() -> None:
    assert all(map(is_name, ("example.com", "a-b.example", "1.example", "xn--bcher-kva.example", "_a.example.x1")))
    wrong = ("localhost", "1.2.3.4", "127.1", "a.1", "a.0x7f", "example.com.", ".example", "a..b", "-a.example", "a.example\n", "")
    assert not any(map(is_name, (*wrong, "Example.com", "bücher.example", "a." * 130 + "example", "x" * 64 + ".example")))


async def test_this_machine_itself_is_looked_up_and_not_public() -> None:
    found = await public_hosts.look_up("localhost")
    assert found
    assert all(port == 443 and not is_public(address) for address, port in found)
