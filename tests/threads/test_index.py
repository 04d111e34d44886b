"""The index of conversations: found by what a client repeats, and never by anybody else."""

import asyncio
import hashlib
import os
import random

import msgspec
import pytest

from codex_proxy.history import Answered, Called, History, Image, Message, Part, Reasoned, Text
from codex_proxy.threads.digest import of_turn, rolling
from codex_proxy.threads.index import Threads
from codex_proxy.turns import Trace, Turn

ANSWER = (Message("assistant", (Text("Hello."),)),)
IMAGE = Image("data:image/png;base64,AAAA")
_DEEP = "[" * 3000 + "]" * 3000


def user(text: str) -> Message:
    return Message("user", (Text(text),))


def turn(*history: History, prompt: str = "", model: str = "m", cwd: str = "/w") -> Turn:
    given = (Text(prompt),) if prompt else ()
    return Turn("t", model, None, "agent", "read-only", False, cwd, history, given)


def trace(content: str, thread: str = "one", **members: object) -> Trace:
    return msgspec.structs.replace(Trace(thread, f"{thread}:{content}", "place", content.encode()), **members)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def threads(clock: Clock) -> Threads:
    return Threads(60.0, most_bytes=3000, clock=clock)


def continued(threads: Threads, asked: Turn, owner: str = "anna", apart: tuple[str, ...] = ()) -> Turn:
    digests = of_turn(asked, owner, apart)
    asked = msgspec.structs.replace(asked, digest=digests[-1])
    if (found := threads.latest(digests[:-1])) is None:
        return asked
    return msgspec.structs.replace(asked, covered=found.covered, trace=msgspec.structs.replace(found.trace, content=found.read()))


def remember(threads: Threads, owner: str, asked: Turn, answer: tuple[History, ...], left: Trace) -> None:
    threads.remember(owner, rolling(asked.digest, answer)[-1], asked.trace, left)


def go_on(threads: Threads, *history: History, prompt: str = "", owner: str = "anna", apart: tuple[str, ...] = ()) -> Turn:
    return continued(threads, turn(*history, prompt=prompt), owner, apart)


def begin(threads: Threads, text: str = "Hi.", left: Trace | None = None, owner: str = "anna") -> None:
    """A first turn that is answered with ANSWER."""
    remember(threads, owner, go_on(threads, prompt=text, owner=owner), ANSWER, left or trace("1"))


def test_a_client_that_repeats_our_answer_goes_on_in_its_thread(threads: Threads) -> None:
    begin(threads)
    found = go_on(threads, user("Hi."), *ANSWER, prompt="And?")
    assert (found.trace, found.covered) == (trace("1"), 2)


@pytest.mark.parametrize(
    "repeated",
    [
        (user("Hi. "), Message("assistant", (Text("\nHello."),))),
        (user("Hi."), Reasoned("rs_1", (), "x"), *ANSWER),
        (user("Hi."), Message("assistant", (Text("Hel"), Text("lo.")))),
        (user("Hi."), Called("mcp_1", "run", "{}", agents=True), Answered("mcp_1", (Text("x"),), agents=True), *ANSWER),
    ],
)
def test_what_clients_change_without_meaning_anything_does_not_count(threads: Threads, repeated: tuple[History, ...]) -> None:
    begin(threads)
    assert go_on(threads, *repeated, prompt="And?").covered == len(repeated)


@pytest.mark.parametrize(
    "other",
    [
        (user("Hi!"), *ANSWER),
        (user("Hi."), Message("assistant", (Text("Hello!"),))),
        (user("Hi."), Message("user", (Text("Hello."),))),
        (user("Hi."), Called("c", "f", "{}"), Answered("c", (Text("x"),)), *ANSWER),
        (Message("developer", (Text("Be short."),)), user("Hi."), *ANSWER),
    ],
)
def test_another_history_is_another_conversation(threads: Threads, other: tuple[History, ...]) -> None:
    begin(threads)
    assert go_on(threads, *other, prompt="And?").trace is None


@pytest.mark.parametrize(
    "parts",
    [
        (Text("Left:right:"), IMAGE),
        (Text("Left:"), Text("right:"), IMAGE),
        (IMAGE, Text("Left:right:")),
        (Text("Left:"), Text(hashlib.sha256(IMAGE.url.encode()).hexdigest()), Text("right:")),
    ],
)
def test_the_place_of_an_image_in_a_message_counts(threads: Threads, parts: tuple[Part, ...]) -> None:
    told = (Text("Left:"), IMAGE, Text("right:"))
    remember(threads, "anna", continued(threads, msgspec.structs.replace(turn(), input=told)), ANSWER, trace("1"))
    same = (Text("Le"), Text("ft: "), IMAGE, Text("right:\n"))
    assert go_on(threads, Message("user", same), *ANSWER, prompt="And?").trace == trace("1")
    assert go_on(threads, Message("user", parts), *ANSWER, prompt="And?").trace is None


def test_nobody_goes_on_with_the_conversation_of_another_key_person_model_or_directory(threads: Threads) -> None:
    begin(threads)
    history = (user("Hi."), *ANSWER)
    assert go_on(threads, *history, prompt="And?", owner="ben").trace is None
    assert go_on(threads, *history, prompt="And?", apart=("ben",)).trace is None
    for other in (turn(*history, prompt="And?", model="n"), turn(*history, prompt="And?", cwd="/v")):
        assert continued(threads, other).trace is None


def test_a_history_that_fits_two_conversations_belongs_to_neither(threads: Threads) -> None:
    begin(threads)
    begin(threads, left=trace("2", thread="two"))
    assert go_on(threads, user("Hi."), *ANSWER, prompt="And?").trace is None


def test_a_fork_and_an_edited_message_keep_what_they_share(threads: Threads) -> None:
    begin(threads)
    first = (user("Hi."), *ANSWER)
    second = go_on(threads, *first, prompt="And?")
    remember(threads, "anna", second, (Message("assistant", (Text("So."),)),), trace("12"))
    edited = go_on(threads, *first, prompt="Or?")
    assert (edited.trace, edited.covered) == (trace("1"), 2)
    remember(threads, "anna", edited, (Message("assistant", (Text("Or so."),)),), trace("1x"))
    went_on = go_on(threads, *first, user("And?"), Message("assistant", (Text("So."),)), prompt="Then?")
    assert (went_on.trace, went_on.covered) == (trace("12"), 4)


@pytest.mark.parametrize(
    ("made", "repeated"), [('{"a": 1, "b": 2}', '{"b":2,"a":1}'), (_DEEP, _DEEP)], ids=["encoded again", "too deep to decode"]
)
def test_a_turn_that_ended_with_calls_goes_on_with_their_results(threads: Threads, made: str, repeated: str) -> None:
    called = (Called("c1", "f", made),)
    remember(threads, "anna", go_on(threads, prompt="Hi."), called, trace("1", calls=("c1",)))
    found = go_on(threads, user("Hi."), Called("c1", "f", repeated), Answered("c1", (Text("x"),)))
    assert (found.trace, found.covered) == (trace("1", calls=("c1",)), 2)


def test_a_conversation_ends_with_its_time(threads: Threads, clock: Clock) -> None:
    begin(threads)
    clock.now = 61.0
    assert go_on(threads, user("Hi."), *ANSWER, prompt="And?").trace is None
    assert len(threads) == 0


def test_the_largest_owner_makes_room_first(threads: Threads) -> None:
    begin(threads, owner="ben")
    for number in range(3):
        begin(threads, f"Hi {number}.", trace(os.urandom(400).hex(), thread=f"large {number}"))
    assert go_on(threads, user("Hi."), *ANSWER, prompt="And?", owner="ben").trace is not None
    assert go_on(threads, user("Hi 0."), *ANSWER, prompt="And?").trace is None
    assert go_on(threads, user("Hi 2."), *ANSWER, prompt="And?").trace is not None


def test_all_that_is_kept_of_a_conversation_counts_also_when_each_turn_has_a_thread_of_its_own(threads: Threads) -> None:
    history: tuple[History, ...] = ()
    for number in range(5):
        left = Trace(f"thread {number}", str(number), items=("x" * 300,))
        remember(threads, "anna", go_on(threads, *history, prompt="Hi."), ANSWER, left)
        history = (*history, user("Hi."), *ANSWER)
    assert len(threads) == 3  # of 900 bytes, where 3000 are kept
    assert go_on(threads, *history[:4], prompt="Hi.").trace is None
    assert go_on(threads, *history, prompt="Hi.").trace == left


def test_places_count_for_their_owner_also_those_that_belong_to_no_conversation(threads: Threads) -> None:
    begin(threads, owner="ben")
    for number in range(10):
        for thread in ("one", "two"):
            begin(threads, f"Hi {number}.", trace("1", thread=f"{thread} {number}"))
    assert go_on(threads, user("Hi."), *ANSWER, prompt="And?", owner="ben").trace is not None
    assert len(threads) < 10


def test_places_that_belong_to_no_conversation_make_room_too(threads: Threads) -> None:
    for number in range(10):
        for thread in ("one", "two"):
            begin(threads, f"Hi {number}.", trace("1", thread=f"{thread} {number}"))
    first, last = (rolling(go_on(threads, prompt=f"Hi {number}.").digest, ANSWER)[-1] for number in (0, 9))
    assert (threads.is_ambiguous(first), threads.is_ambiguous(last)) == (False, True)


async def test_a_long_conversation_is_compressed_later_and_found_all_the_while(clock: Clock) -> None:
    threads = Threads(60.0, most_bytes=500_000, clock=clock)
    left = [trace("word " * 40_000 * length) for length in (1, 2)]
    begin(threads, left=left[0])
    asked = go_on(threads, user("Hi."), *ANSWER, prompt="And?")
    both = asyncio.gather(threads.compress(left[0]), asyncio.sleep(0))
    remember(threads, "anna", asked, ANSWER, left[1])
    await both
    for _ in range(2):
        for at, history in ((0, (user("Hi."), *ANSWER)), (1, (user("Hi."), *ANSWER, user("And?"), *ANSWER))):
            assert go_on(threads, *history, prompt="Then?").trace == left[at]
        await threads.compress(left[1])
    begin(threads, "Another.", trace("word " * 40_000, thread="two"))
    assert len(threads) == 2


def test_no_conversation_gets_into_another_of_a_thousand_that_are_alike() -> None:
    """Five keys, few texts: many histories are the same word for word, and only then nobody's."""
    threads = Threads(60.0)
    chance = random.Random(1)
    histories: dict[int, tuple[History, ...]] = dict.fromkeys(range(1000), ())
    gone_on = 0
    for _ in range(4000):
        number = chance.randrange(1000)
        owner, prompt = f"key {number % 5}", chance.choice(("Hi.", "Go on.", "Why?"))
        asked = go_on(threads, *histories[number], prompt=prompt, owner=owner)
        before = b"" if asked.trace is None else asked.trace.content
        assert set(before.split()) <= {b"%d" % number}
        gone_on += asked.trace is not None
        left = trace((before + b" %d" % number).decode(), thread=f"{number} {len(histories[number])}")
        answer = (Message("assistant", (Text(chance.choice(("Yes.", "No.", "Perhaps."))),)),)
        remember(threads, owner, asked, answer, left)
        histories[number] = (*histories[number], user(prompt), *answer)
    assert gone_on > 500
