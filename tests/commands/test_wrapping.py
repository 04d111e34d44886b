"""A text that comes in pieces breaks between its words, and what is code does not."""

import pytest

from codex_proxy.commands.wrapping import Wrapping

_WIDE = "日本語" * 3  # two columns each


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("one two\nthree", "one two\nthree"),
        ("aaaa bbbb cc", "aaaa bbbb\ncc"),  # ten columns
        ("aaaa bbbbb c", "aaaa bbbbb\nc"),  # just fits
        ("a  b", "a  b"),
        ("    four", "    four"),
        ("aaaa\n\nbbbb", "aaaa\n\nbbbb"),
        ("aaaaaaaaaaaaa bb", "aaaaaaaaaaaaa\nbb"),  # the terminal breaks what has no room anywhere
        ("a aaaaaaaaaaaaa", "a\naaaaaaaaaaaaa"),
        (f"ab {_WIDE}", f"ab\n{_WIDE}"),
        ("日本 語", "日本 語"),
        ("日本語日 語", "日本語日\n語"),
        ("```sh\naaaa bbbb cccc\n```\naaaa bbbb cccc", "```sh\naaaa bbbb cccc\n```\naaaa bbbb\ncccc"),
        ("a ``` bbbb cccc", "a ``` bbbb\ncccc"),
    ],
)
def test_it_is_shown_so_in_ten_columns_however_it_is_cut(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    for size in (1, 3, len(text) or 1):
        wrapping = Wrapping()
        pieces = [wrapping.feed(text[at : at + size]) for at in range(0, len(text), size)]
        assert "".join(pieces) + wrapping.flush() == shown


def test_a_line_that_somebody_else_has_ended_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    wrapping = Wrapping()
    assert wrapping.feed("aaaa bbbb ") == "aaaa bbbb"
    wrapping.begin_line()
    assert wrapping.feed("cccc dddd ") == "cccc dddd"
