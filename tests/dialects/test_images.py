"""Images: what is let in, and how large a file says that it is."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codex_proxy.dialects import images
from codex_proxy.dialects.image_header import KINDS, size
from codex_proxy.errors import InvalidRequest
from codex_proxy.history import Answered, Called, Image, Message, Part, Text
from codex_proxy.wish import Wish
from tests.support.pictures import DAMAGED, PIXEL, data_url, gif, jpeg, png, webp

_PLACE = "messages[0].content[1].image_url.url"
_EXIF = b"\xff\xe1\x00\x06abcd"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("png", png(640, 480)),
        ("gif", gif(640, 480)),
        ("gif", gif(640, 480).replace(b"89a", b"87a")),
        ("jpeg", jpeg(640, 480)),
        ("jpeg", jpeg(640, 480, frame=0xC2)),
        ("jpeg", jpeg(640, 480, before=_EXIF + b"\xff\xff\xff\xff\xdb\x00\x02\xff\x01\xff\xc4\x00\x03x")),
        ("webp", webp("VP8 ", 640, 480)),
        ("webp", webp("VP8L", 640, 480)),
        ("webp", webp("VP8X", 640, 480)),
    ],
)
def test_the_size_is_read_from_the_header_and_no_other_kind_is_believed(kind: str, content: bytes) -> None:
    assert size(kind, content) == (640, 480)
    assert [size(other, content) for other in KINDS if other != kind] == [None] * 3


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16_383, 16_383), (1, 16_383), (16_383, 1)])
def test_the_ends_of_the_range_are_read_too(width: int, height: int) -> None:
    assert size("webp", webp("VP8L", width, height)) == size("webp", webp("VP8 ", width, height)) == (width, height)
    assert (
        size("jpeg", jpeg(width, height)) == size("gif", gif(width, height)) == size("png", png(width, height)) == (width, height)
    )


@pytest.mark.parametrize("content", [png(640, 480), gif(640, 480), jpeg(640, 480), webp("VP8 ", 640, 480), webp("VP8X", 640, 480)])
def test_a_file_that_ends_in_its_header_has_no_size(content: bytes) -> None:
    for kind in KINDS:
        sizes = [size(kind, content[:length]) for length in range(len(content))]
        assert set(sizes) <= {None, (640, 480)}
        assert not any(sizes[:12])


@pytest.mark.parametrize(
    ("kind", "content"), [("png", png(0, 9)), ("gif", gif(9, 0)), ("jpeg", jpeg(9, 0)), ("webp", webp("VP8X", 1, 1)[:29])]
)
def test_an_image_of_no_pixels_has_no_size(kind: str, content: bytes) -> None:
    assert size(kind, content) is None


@given(
    st.sampled_from(KINDS),
    st.sampled_from((b"", png(1, 1)[:12], b"GIF89a", b"\xff\xd8\xff", b"RIFFxxxxWEBPVP8")),
    st.binary(max_size=60),
)
@example("jpeg", b"\xff\xd8", b"\xff\xe0\x00\x00" * 9)
def test_no_content_breaks_the_reader(kind: str, start: bytes, rest: bytes) -> None:
    found = size(kind, start + rest)
    assert found is None or min(found) > 0


@pytest.mark.parametrize("filling", [b"\xff", b"\xff\x01", b"\xff\xe0\x00\x00"])
def test_a_jpeg_that_never_comes_to_its_frame_is_given_up_soon(filling: bytes) -> None:
    began = time.process_time()
    assert size("jpeg", b"\xff\xd8" + filling * (images.MAX_BYTES // len(filling))) is None
    assert time.process_time() - began < 1


@pytest.mark.parametrize("detail", [None, "auto", "low", "high", "original"])
def test_a_data_url_is_kept_as_it_is_and_only_details_that_the_cli_takes(detail: str | None) -> None:
    kept = detail if detail in ("high", "original") else None
    assert images.image(PIXEL, detail, _PLACE) == Image(PIXEL, kept)
    assert images.image(PIXEL.replace("image/png", "IMAGE/PNG"), None, _PLACE) == Image(PIXEL)
    assert images.image(DAMAGED, None, _PLACE) == Image(DAMAGED)  # the CLI finds that out


@pytest.mark.parametrize("declared", ["jpg", "JPEG", "png", "pjpeg", "*", "svg+xml", "png;charset=utf-8", "png;name=a.png;x=1"])
@pytest.mark.parametrize(
    ("kind", "content"), [("png", png(9, 9)), ("jpeg", jpeg(9, 9)), ("gif", gif(9, 9)), ("webp", webp("VP8 ", 9, 9))]
)
def test_an_image_is_what_its_bytes_say_whatever_is_declared(declared: str, kind: str, content: bytes) -> None:
    assert images.image(data_url(declared, content), None, _PLACE) == Image(data_url(kind, content))


@pytest.mark.parametrize("start", ["data:application/octet-stream;base64,", "data:;base64,", "DATA:image/PNG;BASE64,"])
def test_an_image_need_not_be_declared_one(start: str) -> None:
    assert images.image(start + PIXEL.partition(",")[2], None, _PLACE) == Image(PIXEL)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (data_url("png", b"\x89PNG\r\n\x1a\n" + bytes(30)), "header of the png image is damaged"),
        (data_url("jpeg", b"\xff\xd8\xff"), "header of the jpeg image is damaged"),
        (data_url("png", b"<svg/>"), "not a PNG, JPEG, GIF or WebP"),
        (data_url("png", png(9, 9)) + "=", "base64"),
        (data_url("png", png(9, 9))[:-2] + "é=", "base64"),
        (data_url("png", png(16_385, 1)), "16385 x 1"),
        (data_url("gif", gif(65_535, 65_535)), "65535 x 65535"),
        (data_url("jpeg", jpeg(1, 65_535)), "1 x 65535"),
        (data_url("webp", webp("VP8X", 2**24, 2**24)), "16777216 x 16777216"),
        (data_url("png", png(8_000, 8_000)), "50 megapixels"),
        ("data:image/svg+xml;base64,PHN2Zy8+", "not a PNG, JPEG, GIF or WebP"),
        ("data:image/png,abc", "PROXY_IMAGE_FETCH"),
        ("data:image/png" + ";a=b" * 9 + ";base64,abcd", "PROXY_IMAGE_FETCH"),
        ("http://images.example/a.png", "PROXY_IMAGE_FETCH"),
        ("file:///etc/passwd", "PROXY_IMAGE_FETCH"),
        ("https://images.example/" + "a" * 5_000, "PROXY_IMAGE_FETCH"),
    ],
)
def test_what_is_no_image_or_too_large_is_refused_at_its_place(url: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        images.image(url, None, _PLACE)
    assert caught.value.param == _PLACE
    assert len(caught.value.message) < 300


def test_an_image_may_be_as_large_as_is_said() -> None:
    content = png(8_160, 6_120).ljust(images.MAX_BYTES, b"x")
    url = images.data_url(content, _PLACE)
    assert images.image(url, None, _PLACE).url == url
    for too_much in (data_url("png", content + b"x"), url + "AAAA" * 2):
        with pytest.raises(InvalidRequest, match="20 MB"):
            images.image(too_much, None, _PLACE)
    with pytest.raises(InvalidRequest, match="20 MB"):
        images.data_url(content + b"x", _PLACE)


def test_an_https_address_stays_and_keeps_its_place() -> None:
    assert images.image("HTTPS://images.example/a.png", "high", _PLACE) == Image("HTTPS://images.example/a.png", "high", _PLACE)


def test_what_was_fetched_takes_the_place_of_its_address_everywhere() -> None:
    address = "https://images.example/a.png"
    link, there = Image(address, "high", _PLACE), Image(PIXEL)
    shown: tuple[Part, ...] = (Text("see"), link, there)
    history = (Message("user", shown), Called("call_1", "look", "{}"), Answered("call_1", (link,)))
    wish = Wish(model=None, history=history, input=shown)
    assert wish.images == [link, there, link, link, there]
    filled = images.put_in(wish, {link: (Image(PIXEL, "high"),)})
    fetched = Image(PIXEL, "high")
    assert filled.images == [fetched, there, fetched, fetched, there]
    assert filled.history[1] == history[1]
    assert images.put_in(filled, {}) == filled


def test_a_conversation_has_a_bounded_number_of_images() -> None:
    images.check_number(images.MAX_IMAGES, "messages")
    with pytest.raises(InvalidRequest, match="100 images; this one has 101") as caught:
        images.check_number(images.MAX_IMAGES + 1, "messages")
    assert caught.value.param == "messages"
