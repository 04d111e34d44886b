"""Faults of the CLI at every step of a turn: what the client gets, within which time, and that nothing is left over."""

import asyncio
import itertools
from typing import Any

import pytest

from tests.faults.conftest import Faulty, FaultyStarter
from tests.support.answers import FORMS, Form, Seen, ask, leave
from tests.support.fakes import codex

TEXT = "".join(codex.WORDS)
TURN_TIMEOUT = 1.0  # seconds; the least that the setting takes
WITHIN = 4.0  # seconds for any answer: the timeout, and the grace of an interrupt

BEFORE = ("thread/start", "thread/inject_items", "turn/start")  # Codex has not taken the turn yet
BEGUN = ("started", "first_delta", "last_delta")
STEPS = (*BEFORE, *BEGUN, "turn/interrupt", "idle")
FATAL = (
    *("exits_1", "exits_0", "is_killed", "closes_stdout", "sends_invalid_utf8", "sends_33_mib", "sends_no_object", "sends_no_json"),
    *("leaves_a_child_in_the_group", "leaves_a_daemon"),
)
FATAL_ANSWERS = ("refuses", "answers_in_an_unknown_form")
HANGING = ("is_stopped", "sends_half_a_line", "never_answers", "answers_somebody_else", "leaves_a_daemon_and_stops")
HARMLESS = ("floods_stdout", "floods_stderr", "answers_twice", "asks_everything")


def test_every_fault_has_its_place_in_the_table() -> None:
    assert sorted((*FATAL, *FATAL_ANSWERS, *HANGING, *HARMLESS)) == sorted(codex.ALL)


async def provoke(faulty: Faulty, fault: str, step: str, form: Form) -> Seen:
    """Have a fault shown at a step of a turn."""
    members: dict[str, Any] = {"model": "gpt-5.4"} if step == "thread/start" else {}  # the waiting thread is of another model
    if step == "turn/interrupt":
        members["max_tokens" if form[0] == "chat/completions" else "max_output_tokens"] = 1
    faulty.will(fault, step)
    async with asyncio.timeout(WITHIN):
        prompt = "wait" if step == "turn/interrupt" else "go"
        return await ask(faulty.proxy, form, prompt, history=step == "thread/inject_items", **members)


def check(seen: Seen, step: str, form: Form, code: str) -> None:
    """What a client must see of a fault that ends its turn, by the step of it."""
    route, stream = form
    if step in (*BEFORE, "idle"):
        assert (seen.status, seen.code, seen.text) == (200, None, TEXT)
    elif step == "turn/interrupt":
        assert (seen.status, seen.code, seen.ended) == (200, None, "length" if route == "chat/completions" else "incomplete")
        assert seen.text == codex.WORDS[0]
    elif stream and step in ("first_delta", "last_delta"):
        in_frame = code if route == "chat/completions" else "server_error"
        assert (seen.status, seen.code) == (200, in_frame)
        assert seen.text == (TEXT if step == "last_delta" else codex.WORDS[0])
        assert seen.ended == (None if route == "chat/completions" else "failed")
    else:
        assert (seen.status, seen.code) == (504 if code == "timeout" else 502, code)
        assert step not in BEGUN or seen.should_retry == "false"
    for secret in ("/home", "provider.example", "secret-looking"):
        assert secret not in seen.raw


@pytest.mark.parametrize("step", STEPS)
async def test_a_fault_that_breaks_the_worker_is_told_and_leaves_nothing(start_faulty: FaultyStarter, step: str) -> None:
    form = itertools.cycle(FORMS)
    answered = FATAL_ANSWERS if step in ("thread/start", "turn/start") else ()
    async with start_faulty() as faulty:
        for fault in (*FATAL, *answered, "exits_1", "exits_1", "exits_1"):
            asked = next(form)
            check(await provoke(faulty, fault, step, asked), step, asked, "worker_crashed")
            await faulty.quiesced()
            assert faulty.shown
            await faulty.works(next(form))
            next(form)


@pytest.mark.parametrize("step", [step for step in STEPS if step != "idle"])  # an idle one has no deadline: see below
async def test_a_worker_that_hangs_costs_its_turn_the_timeout_and_leaves_nothing(
    start_faulty: FaultyStarter, environ: dict[str, str], step: str
) -> None:
    form = itertools.cycle(FORMS)
    environ["CODEX_TIMEOUT"] = str(TURN_TIMEOUT)
    async with start_faulty() as faulty:
        for fault in HANGING if step == "started" else ("is_stopped", "answers_somebody_else"):
            asked = next(form)
            seen = await provoke(faulty, fault, step, asked)
            if step in BEFORE:
                assert (seen.status, seen.code) == (504, "timeout")
            else:
                check(seen, step, asked, "timeout")
            await faulty.quiesced()
            assert faulty.shown
            await faulty.works(next(form))


@pytest.mark.parametrize("step", STEPS)
async def test_what_is_odd_but_no_fault_disturbs_nobody(start_faulty: FaultyStarter, step: str) -> None:
    form = itertools.cycle(FORMS)
    async with start_faulty() as faulty:
        for fault in HARMLESS:
            asked = next(form)
            seen = await provoke(faulty, fault, step, asked)
            assert (seen.status, seen.code) == (200, None)
            assert seen.text == (codex.WORDS[0] if step == "turn/interrupt" else TEXT)
            await faulty.quiesced()
            assert faulty.shown


@pytest.mark.parametrize("step", BEFORE)
async def test_a_turn_that_had_not_begun_is_tried_on_two_workers_and_no_more(start_faulty: FaultyStarter, step: str) -> None:
    async with start_faulty() as faulty:
        for form in FORMS:
            faulty.will("exits_1!", step)
            seen = await ask(faulty.proxy, form, model="gpt-5.4", history=True)
            assert (seen.status, seen.code, seen.should_retry) == (502, "worker_crashed", None)
            faulty.will_not()
            await faulty.quiesced()


@pytest.mark.parametrize("fault", ["exits_1", "is_stopped", "never_answers", "leaves_a_daemon", "closes_stdout"])
async def test_a_client_that_leaves_a_worker_that_breaks_at_the_interrupt_leaves_nothing(
    start_faulty: FaultyStarter, fault: str
) -> None:
    async with start_faulty() as faulty:
        for route in ("chat/completions", "responses"):
            faulty.will(fault, "turn/interrupt")
            await leave(faulty.proxy, (route, True), "wait")
            await faulty.quiesced()
            assert faulty.shown
            await faulty.works((route, True))
