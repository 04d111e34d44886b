"""Where the text ends: whatever the text, the stop sequences and the places where the stream happens to cut it."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from codex_proxy.dialects.limit import TextLimit

# Few letters, so that stop sequences occur, overlap and begin without ending.
_pieces = st.lists(st.text("abc", max_size=6), max_size=8)
_stop = st.text("abc", min_size=1, max_size=4)
_stops = st.lists(_stop, max_size=4).map(tuple)
_untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machines are noisy


@_untimed
@given(_pieces, _stop)
def test_one_stop_sequence_cuts_the_text_before_its_first_occurrence(pieces: list[str], stop: str) -> None:
    text = "".join(pieces)
    assert _shown(pieces, (stop,)) == (text.partition(stop)[0], "stop" if stop in text else None)


@_untimed
@given(_pieces, _stops.filter(lambda stops: not _one_holds_another(stops)))
def test_the_earliest_of_several_stop_sequences_cuts_the_text(pieces: list[str], stops: tuple[str, ...]) -> None:
    text = "".join(pieces)
    places = [text.index(stop) for stop in stops if stop in text]
    assert _shown(pieces, stops) == (text[: min(places, default=len(text))], "stop" if places else None)


@_untimed
@given(_pieces, _stops)
@example(["abc"], ("abc", "b"))
@example(["a", "b", "c"], ("abc", "b"))
def test_the_stop_sequence_that_is_complete_first_cuts_the_text_wherever_the_stream_is_cut(
    pieces: list[str], stops: tuple[str, ...]
) -> None:
    text = "".join(pieces)
    for end in range(len(text) + 1):
        if complete := [stop for stop in stops if text[:end].endswith(stop)]:
            assert _shown(pieces, stops) == (text[: end - max(map(len, complete))], "stop")
            return
    assert _shown(pieces, stops) == (text, None)


@_untimed
@given(_pieces, _stops)
def test_what_is_shown_is_a_beginning_of_the_text_and_no_more_comes_after_the_end(
    pieces: list[str], stops: tuple[str, ...]
) -> None:
    limit = TextLimit(stops, None)
    shown = ""
    for piece in pieces:
        ended = limit.reached is not None
        more = limit.feed(piece)
        shown += more
        assert not (ended and more)
        assert "".join(pieces).startswith(shown)


@_untimed
@given(_pieces, _stop)
def test_no_more_is_held_back_than_could_be_the_beginning_of_a_stop_sequence(pieces: list[str], stop: str) -> None:
    limit = TextLimit((stop,), None)
    text = shown = ""
    for piece in pieces:
        text += piece
        shown += limit.feed(piece)
        if limit.reached is None:
            assert stop.startswith(text[len(shown) :])


@_untimed
@given(_pieces, st.integers(1, 10))
def test_deltas_are_counted_as_tokens(pieces: list[str], most: int) -> None:
    expected = ("".join(pieces[:most]), "length" if len(pieces) > most else None)
    assert _shown(pieces, (), most) == expected


@_untimed
@given(_pieces, _stop, st.integers(1, 10))
def test_of_a_stop_sequence_and_a_number_of_tokens_the_first_one_ends_the_text(pieces: list[str], stop: str, most: int) -> None:
    text, reached = _shown(pieces[:most], (stop,))
    expected = (text, reached or ("length" if len(pieces) > most else None))
    assert _shown(pieces, (stop,), most) == expected


@pytest.mark.parametrize(
    ("pieces", "stops", "shown"),
    [
        ((), ("END",), ""),
        (("text",), (), "text"),
        (("text EN",), ("END",), "text EN"),  # it never came
        (("text EN", "D more"), ("END",), "text "),
        (("text ", "E", "N", "D"), ("END",), "text "),
        (("EEN", "D"), ("END",), "E"),
        (("END",), ("END",), ""),
        (("a\n", "\nb"), ("\n\n",), "a"),
        (("aab",), ("ab",), "a"),
        (("Grüße ", "🙂", "!"), ("🙂!",), "Grüße "),
    ],
)
def test_a_stop_sequence_is_found_across_deltas(pieces: tuple[str, ...], stops: tuple[str, ...], shown: str) -> None:
    assert _shown(list(pieces), stops)[0] == shown


def _shown(pieces: list[str], stops: tuple[str, ...], most: int | None = None) -> tuple[str, str | None]:
    """All that the client sees, and what ended it."""
    limit = TextLimit(stops, most)
    return "".join([*map(limit.feed, pieces), limit.rest()]), limit.reached


def _one_holds_another(stops: tuple[str, ...]) -> bool:
    return any(one in other for index, one in enumerate(stops) for other in stops[:index] + stops[index + 1 :])
