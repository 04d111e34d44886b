"""Call ids as clients replay them."""

import pytest

from codex_proxy.dialects.call_ids import CallIds


def _told(conversation: str) -> list[str | None]:
    """The ids of a conversation like "+a -a": a call, its output."""
    ids = CallIds()
    return [ids.called(word[1:]) if word[0] == "+" else ids.answered(word[1:]) for word in conversation.split()]


@pytest.mark.parametrize(
    ("conversation", "told"),
    [
        ("+a -a +b -b", ["a", "a", "b", "b"]),
        ("+a +b -b -a", ["a", "b", "b", "a"]),
        ("+ -", ["call_1", "call_1"]),
        ("+ + - -", ["call_1", "call_2", "call_1", "call_2"]),
        ("+a -a +a -a +a -a", ["a", "a", "a_2", "a_2", "a_3", "a_3"]),
        ("+a +a -a -a", ["a", "a_2", "a", "a_2"]),
        ("+call_2 +", ["call_2", "call_2_2"]),
        ("+a_2 +a +a", ["a_2", "a", "a_3"]),
        ("+a +b -", ["a", "b", "a"]),
        ("+a -b", ["a", None]),
        ("-a +a", [None, "a"]),
        ("+a -a -a", ["a", "a", None]),
        ("-", [None]),
    ],
)
def test_each_call_has_an_id_of_its_own(conversation: str, told: list[str | None]) -> None:
    assert _told(conversation) == told


def test_a_longer_conversation_begins_with_the_same_ids() -> None:
    conversation = "+ - +a -a +a + - -a +a -a + -"
    for length in range(len(conversation.split())):
        shorter = conversation.split()[:length]
        assert _told(conversation)[:length] == _told(" ".join(shorter))


def test_the_first_call_without_an_output_is_told_as_the_client_calls_it() -> None:
    ids = CallIds()
    assert ids.open is None
    ids.called("a")
    ids.called("a")
    ids.answered("a")
    assert ids.open == "a"
    ids.answered("a")
    assert ids.open is None
