"""What is cut, appended and read in a rollout."""

import msgspec

from codex_proxy.codex import rollout, wire


def line(number: int, kind: str, **payload: object) -> bytes:
    return msgspec.json.encode({"timestamp": "t", "ordinal": number, "type": kind, "payload": payload}) + b"\n"


def item(number: int, kind: str, **payload: object) -> bytes:
    return line(number, "response_item", type=kind, **payload)


HEAD = line(0, "session_meta", id="thread-1") + item(1, "message", role="developer") + line(2, "turn_context", cwd="/w")
CALL_A, CALL_B = item(3, "function_call", call_id="a"), item(4, "function_call", call_id="b")
CUT_OFF = item(5, "function_call_output", call_id="a", output="cancelled")


def test_a_rollout_is_cut_after_the_calls_that_end_it() -> None:
    assert rollout.cut_after(HEAD + CALL_A + CALL_B + CUT_OFF, ("a", "b")) == HEAD + CALL_A + CALL_B
    assert rollout.cut_after(HEAD + CALL_A + CALL_B + CUT_OFF, ("a",)) == HEAD + CALL_A


def test_the_outputs_of_the_agents_calls_beside_them_are_kept() -> None:
    done = item(5, "function_call_output", call_id="a", output="done")
    cut_off = item(6, "function_call_output", call_id="b", output="cancelled")
    assert rollout.cut_after(HEAD + CALL_A + CALL_B + done + cut_off, ("b",)) == HEAD + CALL_A + CALL_B + done


def test_a_call_of_an_earlier_turn_with_the_same_id_is_no_place_to_cut() -> None:
    before = HEAD + CALL_A + item(5, "function_call_output", call_id="a", output="1") + line(6, "turn_context") + CALL_A
    assert rollout.cut_after(before + CUT_OFF, ("a",)) == before


def test_a_call_that_is_missing_or_not_the_clients_makes_it_useless() -> None:
    assert rollout.cut_after(HEAD + CALL_A + CUT_OFF, ("a", "b")) is None
    assert rollout.cut_after(HEAD + CALL_A + CALL_B, ("b",)) is None


def test_items_are_appended_with_the_next_numbers() -> None:
    longer = rollout.with_items(HEAD + CALL_A, [{"type": "function_call_output", "call_id": "a", "output": "x"}])
    assert longer.startswith(HEAD + CALL_A)
    added = msgspec.json.decode(longer.splitlines()[-1])
    assert added["ordinal"] == 4
    assert added["payload"]["output"] == "x"


def test_what_codex_tells_of_itself_is_left_out_of_what_the_model_has_seen() -> None:
    kinds = ("permissions.instructions", "environments.environment_context", "user.text", "unknown")
    marked = ({wire.PRIVATE: {"turn_id": "t1", "content_item_kinds": [kind]}, "role": kind} for kind in kinds)
    tools = item(3, "additional_tools", role="developer")
    items = rollout.model_items(HEAD + tools + CALL_A + CUT_OFF + b"".join(item(6, "message", **one) for one in marked))
    assert [one["type"] for one in items] == ["function_call", "function_call_output", "message", "message"]
    assert [one["role"] for one in items[2:]] == ["user.text", "unknown"]


def test_what_a_model_wrote_to_sum_up_the_conversation_is_left_out_of_what_it_has_seen() -> None:
    def said(text: str, role: str = "assistant") -> bytes:
        return item(6, "message", role=role, content=text)

    begins, compacted = line(6, "event_msg", type="task_started"), line(6, "compacted", message="summary")
    summed_up = item(6, "reasoning") + said("summary") + compacted
    before_a_turn = said("1") + begins + summed_up + said("2", "user") + said("2")
    within_a_turn = said("3") + CALL_A + CUT_OFF + summed_up + said("3")
    by_the_provider = begins + compacted + said("4", "user") + said("4")
    items = rollout.model_items(HEAD + before_a_turn + within_a_turn + by_the_provider)
    assert "".join(one.get("content", "-") for one in items) == "1223--344"


def test_the_totals_are_those_of_the_last_count() -> None:
    counts = [
        line(number, "event_msg", type="token_count", info={"total_token_usage": {"input_tokens": number * 10}})
        for number in (6, 7)
    ]
    assert rollout.tokens(HEAD + b"".join(counts) + line(8, "event_msg", type="token_count", info=None)).input_tokens == 70
    assert rollout.tokens(HEAD).input_tokens == 0


def test_another_id_replaces_the_threads_own() -> None:
    assert b"thread-1" not in rollout.renamed(HEAD, "thread-1", "thread-2")
