"""Lines of the CLI in, TurnEvents out: recorded turns, messages, reasoning, usage, and what is unknown."""

import msgspec
import pytest

from codex_proxy.codex.translate import Translator
from codex_proxy.dialects.answer_filter import AnswerFilter
from codex_proxy.history import Phase
from codex_proxy.turns import (
    Command,
    McpCall,
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    Patch,
    ReasoningCompleted,
    ReasoningDelta,
    ReasoningStarted,
    Recorded,
    Search,
    TurnCompleted,
    TurnEvent,
    Usage,
    WorkCompleted,
    WorkStarted,
)
from tests.codex.lines import TURN, Line, item_completed, item_started, line, recorded, translate, translated

_NOON = '{"content":[{"type":"text","text":"12:00"}],"structuredContent":null,"_meta":null}'
_NOWHERE = '{"content":[{"type":"text","text":"no such city"}],"structuredContent":null,"_meta":null}'


@pytest.mark.parametrize("version", ["0.147.0", "0.163.0", "0.169.0", "0.171.0"])
def test_a_recorded_turn_with_reasoning_commands_a_patch_and_a_search(version: str) -> None:
    translator = Translator(TURN)
    printed = Command("printf 'one\\ntwo\\n'")
    patch = Patch((("/home/someone/workspace/notes.txt", "add", "one\n"),))
    assert recorded(f"turn-{version}.jsonl", translator) == [
        ReasoningStarted("rs_resp_1_0"),
        ReasoningDelta("rs_resp_1_0", 0, "**Looking around**"),
        ReasoningDelta("rs_resp_1_0", 1, "**Then acting**"),
        ReasoningCompleted("rs_resp_1_0", ("**Looking around**", "**Then acting**")),
        MessageStarted("msg_resp_1_1", "commentary"),
        *(MessageDelta("msg_resp_1_1", piece) for piece in ("I ", "will ", "look ", "first.")),
        MessageCompleted("msg_resp_1_1", "I will look first."),
        WorkStarted("call_ok", printed),
        WorkCompleted("call_ok", Command(printed.command, "one\ntwo\n", 0)),
        WorkStarted("call_bad", Command("exit 3")),
        WorkCompleted("call_bad", Command("exit 3", "", 3)),
        WorkStarted("call_patch", patch),
        WorkCompleted("call_patch", patch),
        WorkStarted("ws_1", Search("codex")),
        WorkCompleted("ws_1", Search("codex")),
        MessageStarted("msg_resp_4_0", "final_answer"),
        *(MessageDelta("msg_resp_4_0", piece) for piece in ("All ", "is ", "done.")),
        MessageCompleted("msg_resp_4_0", "All is done."),
    ]
    assert translator.usage == Usage(input=130, cached=40, output=35, reasoning=7)
    assert translator.ran_something


def test_a_message_that_is_sent_on_the_way_is_not_the_final_answer_of_which_it_has_the_phase() -> None:
    """As request_user_input_async sends one (0.163.0 to 0.171.0); it would take the place of an answer that must be JSON."""
    item = {"type": "agentMessage", "id": "call_1", "text": "Which?", "phase": "final_answer", "delivery": "async"}
    asked, answer = "Which?", '{"n":1}'
    events = translated(
        item_started(**item),
        item_completed(**item),
        item_started(type="agentMessage", id="msg_1", text="", phase=None, delivery=None),
        item_completed(type="agentMessage", id="msg_1", text=answer, phase=None, delivery=None),
    )
    assert events[0] == MessageStarted("call_1", None)
    json = AnswerFilter("agent", json=True, held=False, optional=frozenset())
    shown = [told for event in (*events, TurnCompleted(None)) for told in json.feed(event)]
    assert [event.text for event in shown if isinstance(event, MessageCompleted)] == [answer]
    assert [event.summary for event in shown if isinstance(event, ReasoningCompleted)] == [(asked,)]


def test_a_recorded_turn_with_calls_of_an_mcp_server() -> None:
    translator = Translator(TURN)
    noon, nowhere = ('{"city":"Bern"}', _NOON), ('{"city":"Atlantis"}', _NOWHERE)
    assert recorded("mcp-0.163.0.jsonl", translator)[:4] == [
        WorkStarted("call_mcp_bad", McpCall("clock", "time_in", nowhere[0])),
        WorkStarted("call_mcp", McpCall("clock", "time_in", noon[0])),
        WorkCompleted("call_mcp_bad", McpCall("clock", "time_in", *nowhere, "The tool reported an error.")),
        WorkCompleted("call_mcp", McpCall("clock", "time_in", *noon)),
    ]
    assert translator.ran_something


@pytest.mark.parametrize(
    "name", ["turn-0.147.0.jsonl", "turn-0.163.0.jsonl", "turn-0.169.0.jsonl", "turn-0.171.0.jsonl", "mcp-0.163.0.jsonl"]
)
def test_every_item_begins_once_ends_once_and_its_text_is_that_of_its_deltas(name: str) -> None:
    started: dict[str, TurnEvent] = {}
    texts: dict[str, str] = {}
    for event in recorded(name, Translator(TURN)):
        match event:
            case MessageStarted() | ReasoningStarted() | WorkStarted():
                assert event.item not in started
                started[event.item] = event
            case MessageDelta() | ReasoningDelta():
                assert event.item in started
                texts[event.item] = texts.get(event.item, "") + event.text
            case MessageCompleted():
                assert texts.pop(event.item) == event.text
                del started[event.item]
            case ReasoningCompleted():
                assert texts.pop(event.item) == "".join(event.summary)
                del started[event.item]
            case WorkCompleted():
                del started[event.item]
    assert started == {}


def test_a_message_that_came_whole_has_one_delta() -> None:
    item = {"type": "agentMessage", "id": "m1"}
    assert translated(item_started(**item, text=""), item_completed(**item, text="Hello.")) == [
        MessageStarted("m1", None),
        MessageDelta("m1", "Hello."),
        MessageCompleted("m1", "Hello."),
    ]


def test_the_rest_of_a_message_that_came_in_part_is_one_more_delta() -> None:
    item = {"type": "agentMessage", "id": "m1"}
    lines = (
        item_started(**item, text=""),
        line("item/agentMessage/delta", itemId="m1", delta="Hel"),
        item_completed(**item, text="Hello."),
    )
    assert translated(*lines)[1:] == [MessageDelta("m1", "Hel"), MessageDelta("m1", "lo."), MessageCompleted("m1", "Hello.")]


def test_deltas_of_two_messages_that_overlap_stay_apart() -> None:
    one, two = {"type": "agentMessage", "id": "m1"}, {"type": "agentMessage", "id": "m2"}
    lines = (
        *(item_started(**one), item_started(**two)),
        *(line("item/agentMessage/delta", itemId=item, delta=text) for item, text in (("m1", "a"), ("m2", "b"), ("m1", "c"))),
        *(item_completed(**one, text="ac"), item_completed(**two, text="b!")),
    )
    assert translated(*lines)[5:] == [MessageCompleted("m1", "ac"), MessageDelta("m2", "!"), MessageCompleted("m2", "b!")]


@pytest.mark.parametrize(
    ("given", "phase"), [("commentary", "commentary"), ("final_answer", "final_answer"), (None, None), ("new_phase", None)]
)
def test_a_message_has_its_phase_where_that_is_known(given: str | None, phase: Phase | None) -> None:
    assert translated(item_started(type="agentMessage", id="m1", phase=given)) == [MessageStarted("m1", phase)]


def test_raw_reasoning_is_told_only_when_it_was_asked_for() -> None:
    raw = line("item/reasoning/textDelta", itemId="r1", contentIndex=1, delta="hm")
    assert translated(raw) == []
    assert translated(raw, turn=msgspec.structs.replace(TURN, raw_reasoning=True)) == [ReasoningDelta("r1", 1, "hm", raw=True)]


def test_the_totals_of_the_thread_are_the_usage_of_the_turn() -> None:
    translator = Translator(TURN)
    assert translator.usage is None
    for total in (1, 2):
        counts = {"inputTokens": 10, "cachedInputTokens": 4, "outputTokens": 3, "reasoningOutputTokens": 1}
        totals = {name: count * total for name, count in counts.items()} | {"cacheWriteInputTokens": 5}
        translate(translator, [line("thread/tokenUsage/updated", tokenUsage={"total": totals, "last": counts})])
    assert translator.usage == Usage(input=20, cached=8, output=6, reasoning=2, cache_write=5)


def test_a_model_response_counts_at_its_end_and_once() -> None:
    """A turn that is interrupted then, for a call of the client's, may end before its totals are told (0.163.0)."""
    translator = Translator(TURN)
    used = {"inputTokens": 10, "cachedInputTokens": 4, "outputTokens": 3, "reasoningOutputTokens": 1, "cacheWriteInputTokens": 5}
    once = Usage(input=10, cached=4, output=3, reasoning=1, cache_write=5)
    totals = line("thread/tokenUsage/updated", tokenUsage={"total": used})
    for told, usage in (
        (line("rawResponse/completed", usage=None), None),
        (line("rawResponse/completed", usage=used), once),
        (totals, once),
    ):
        translate(translator, [told])
        assert translator.usage == usage
    assert translator.latest.output_tokens == 3


def test_neither_the_tools_that_codex_gives_nor_a_summary_for_the_model_itself_are_recorded() -> None:
    def raw(kind: str, name: str, **members: object) -> Line:
        return line("rawResponseItem/completed", item={"type": kind, "id": name, **members})

    translator = Translator(msgspec.structs.replace(TURN, record=True))
    compaction = {"type": "contextCompaction", "id": "c1"}
    lines = [
        raw("additional_tools", "at1", role="developer", tools=[]),
        item_started(**compaction),
        raw("reasoning", "rs1", summary=[{"type": "summary_text", "text": "to sum up"}]),
        raw("message", "m1", role="assistant", content=[]),
        line("rawResponse/completed", usage={"inputTokens": 10, "outputTokens": 5}),
        item_completed(**compaction),
        raw("message", "m2", role="assistant", content=[]),
    ]
    [event] = translate(translator, lines)
    assert isinstance(event, Recorded)
    assert '"m2"' in event.item.item
    assert translator.usage is None  # the totals of the thread are told before, and have it


def test_what_is_unknown_is_no_event() -> None:
    lines = (
        line("item/started", item={"type": "somethingNew", "id": "x1", "text": 'a"b', "new": [1]}),
        line("item/completed", item={"type": "userMessage", "id": "u1"}),
        line("thread/somethingNew", item=1),
        line("warning", message="careful"),
    )
    assert translated(*lines) == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("item/started", b"{}"),
        ("item/started", b'{"item":{"type":"agentMessage"}}'),
        ("item/agentMessage/delta", b'{"itemId":1,"delta":"x"}'),
        ("turn/plan/updated", b'{"plan":null}'),
        ("thread/tokenUsage/updated", b'{"tokenUsage":{"total":{"inputTokens":"1"}}}'),
        ("rawResponseItem/completed", b"[]"),
        ("rawResponse/completed", b'{"usage":{"inputTokens":"1"}}'),
    ],
)
def test_a_known_line_of_another_form_is_an_error(method: str, params: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Translator(TURN).translate(method, msgspec.Raw(params))
