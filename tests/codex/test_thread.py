"""The recipe of a thread and the parameters of its turns: what every agent thread must have, and what none may."""

from pathlib import PurePath

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_proxy.codex.thread import Recipe, history_items, turn_params
from codex_proxy.codex.view import View
from codex_proxy.history import Answered, Called, Image, Message, Reasoned, Text
from codex_proxy.turns import Mode, Sandbox, Tool, Turn

_VIEW = View(("/etc", "/home/someone/src", "/usr"), None, ("/w/secret",))
_AGENT = Recipe(
    "m", "agent", "/w", _VIEW, (), web_search="configured", verbosity=None, raw_reasoning=False, tools=(), mcp_servers=()
)
_CHAT = msgspec.structs.replace(_AGENT, web_search="disabled", mode="chat", mcp_servers=("clock", "files"))
_TURN = Turn("t", "m", None, "agent", "read-only", False, "/w", (), (Text("hi"),))

_UNTRUSTED = {"/w": {"trust_level": "untrusted"}, "/": {"trust_level": "untrusted"}}

_untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machines are noisy
_texts = st.text(max_size=8)
_recipes = st.builds(
    Recipe,
    model=_texts,
    mode=st.sampled_from(("agent", "chat")),
    cwd=_texts,
    view=st.builds(
        View,
        shown=st.none() | st.lists(_texts, max_size=3).map(tuple),
        root=st.none() | _texts.map("/root/{}".format),
        hidden=st.lists(_texts, max_size=3).map(tuple),
    ),
    user_documents=st.just(()),
    web_search=st.sampled_from(["live", "configured", "disabled"]),
    verbosity=st.sampled_from((None, "low", "high")),
    raw_reasoning=st.booleans(),
    tools=st.lists(
        st.builds(Tool, name=_texts, description=_texts, parameters=st.just("{}"), namespace=st.none() | _texts), max_size=3
    ).map(tuple),
    mcp_servers=st.lists(_texts, max_size=3, unique=True).map(tuple),
)


@_untimed
@given(_recipes)
def test_no_thread_is_ever_started_with_a_sandbox_member_or_with_approvals(recipe: Recipe) -> None:
    params = recipe.start_params()
    assert not {"sandbox", "sandboxPolicy", "permissions", "sandbox_mode"} & set(params)
    assert not {"sandbox", "sandbox_mode", "sandbox_workspace_write", "approval_policy"} & set(params["config"])
    assert all(project == {"trust_level": "untrusted"} for project in params["config"]["projects"].values())
    assert str(PurePath(recipe.cwd)) in params["config"]["projects"]
    assert (params["approvalPolicy"], params["ephemeral"]) == ("never", True)
    assert (params["model"], params["cwd"], params["experimentalRawEvents"]) == (recipe.model, recipe.cwd, True)
    msgspec.json.encode(params)


@_untimed
@given(_recipes.filter(lambda recipe: recipe.mode == "agent"))
def test_every_agent_thread_has_its_view_and_a_core_environment(recipe: Recipe) -> None:
    config = recipe.start_params()["config"]
    assert config["default_permissions"] == "proxy"
    profile = config["permissions"]["proxy"]
    assert profile == recipe.view.profile
    assert profile.get("extends", ":read-only") == ":read-only"
    writable = [place for place, access in profile["filesystem"].items() if access == "write"]
    assert writable == ([] if recipe.view.root is None else [recipe.view.root])
    assert config["shell_environment_policy"] == {"inherit": "core"}


@_untimed
@given(_recipes.filter(lambda recipe: recipe.mode == "chat"))
def test_every_chat_thread_has_no_environment_no_tool_and_no_mcp_server(recipe: Recipe) -> None:
    params = recipe.start_params()
    config = params["config"]
    assert (params["environments"], bool(params["baseInstructions"])) == ([], True)
    assert (config["tools"]["view_image"], config["include_apply_patch_tool"]) == (False, False)
    assert (config["project_doc_max_bytes"], config["skills"]) == (0, {"include_instructions": False})
    assert config.get("mcp_servers", {}) == {name: {"enabled": False} for name in recipe.mcp_servers}


def test_the_params_of_an_agent_thread() -> None:
    assert _AGENT.start_params() == {
        "ephemeral": True,
        "approvalPolicy": "never",
        "cwd": "/w",
        "model": "m",
        "experimentalRawEvents": True,
        "config": {
            "default_permissions": "proxy",
            "permissions": {
                "proxy": {
                    "filesystem": {
                        ":minimal": "read",
                        "/etc": "read",
                        "/home/someone/src": "read",
                        "/usr": "read",
                        "/w/secret": "deny",
                    },
                }
            },
            "shell_environment_policy": {"inherit": "core"},
            "project_doc_max_bytes": 0,
            "skills": {"include_instructions": False},
            "projects": _UNTRUSTED,
        },
    }


def test_the_params_of_a_chat_thread() -> None:
    assert _CHAT.start_params() == {
        "ephemeral": True,
        "approvalPolicy": "never",
        "cwd": "/w",
        "model": "m",
        "experimentalRawEvents": True,
        "environments": [],
        "baseInstructions": "You are a helpful assistant.",
        "config": {
            "tools": {
                "view_image": False,
                "experimental_request_user_input": {"enabled": False},
                "update_plan": {"enabled": False},
            },
            "orchestrator": {"skills": {"enabled": False}, "mcp": {"enabled": False}},
            "include_apply_patch_tool": False,
            "include_permissions_instructions": False,
            "include_environment_context": False,
            "skills": {"include_instructions": False},
            "project_doc_max_bytes": 0,
            "web_search": "disabled",
            "mcp_servers": {"clock": {"enabled": False}, "files": {"enabled": False}},
            "projects": _UNTRUSTED,
        },
    }


def test_codex_looks_for_no_documents_of_a_project() -> None:
    for recipe in (_AGENT, _CHAT):
        assert recipe.start_params()["config"]["project_doc_max_bytes"] == 0


@pytest.mark.parametrize(("recipe", "without"), [(_AGENT, None), (_CHAT, "disabled")])
def test_what_a_request_asks_for_reaches_the_config(recipe: Recipe, without: str | None) -> None:
    config = recipe.start_params()["config"]
    assert (config.get("web_search"), "model_verbosity" in config, "show_raw_agent_reasoning" in config) == (without, False, False)
    config = msgspec.structs.replace(recipe, web_search="live", verbosity="low", raw_reasoning=True).start_params()["config"]
    assert (config["web_search"], config["model_verbosity"], config["show_raw_agent_reasoning"]) == ("live", "low", True)


def test_one_threads_config_leaves_the_next_ones_alone() -> None:
    for recipe in (_CHAT, _AGENT):
        before = recipe.start_params()
        msgspec.structs.replace(recipe, web_search="live", verbosity="low", raw_reasoning=True).start_params()
        assert recipe.start_params() == before


def test_a_plain_turn_says_no_more_than_it_must() -> None:
    assert turn_params("thread", _TURN) == {"threadId": "thread", "input": [{"type": "text", "text": "hi"}], "summary": "auto"}


@pytest.mark.parametrize("mode", ["agent", "chat"])
@pytest.mark.parametrize(
    ("sandbox", "network"),
    [("read-only", False), ("workspace-write", False), ("workspace-write", True), ("danger-full-access", False)],
)
def test_no_turn_but_a_dangerous_one_has_a_policy_of_its_own_which_would_make_the_cwd_writable(
    mode: Mode, sandbox: Sandbox, network: bool
) -> None:
    params = turn_params("thread", msgspec.structs.replace(_TURN, mode=mode, sandbox=sandbox, network=network))
    assert ("sandboxPolicy" in params) is (mode == "agent" and sandbox == "danger-full-access")


def test_a_writable_root_is_a_profile_that_trusts_nothing_and_grants_by_the_root() -> None:
    view = View(("/usr",), "/root", network=True)
    config = msgspec.structs.replace(_AGENT, view=view).start_params()["config"]
    rules = {":minimal": "read", "/usr": "read", "/root": "write"}
    assert config["permissions"] == {"proxy": {"filesystem": rules, "network": {"enabled": True}}}
    assert config["projects"] == _UNTRUSTED


def test_danger_mode_is_a_policy_of_one_word() -> None:
    params = turn_params("thread", msgspec.structs.replace(_TURN, sandbox="danger-full-access"))
    assert params["sandboxPolicy"] == {"type": "dangerFullAccess"}


def test_what_a_turn_asks_for_reaches_its_params() -> None:
    turn = msgspec.structs.replace(
        _TURN, input=(), effort="high", service_tier="flex", summary="none", output_schema='{"type":"object"}'
    )
    assert msgspec.json.decode(msgspec.json.encode(turn_params("thread", turn))) == {
        "threadId": "thread",
        "input": [],
        "summary": "none",
        "effort": "high",
        "serviceTier": "flex",
        "outputSchema": {"type": "object"},
    }


def test_parts_of_the_input_have_the_protocols_form() -> None:
    turn = msgspec.structs.replace(_TURN, input=(Text("see"), Image("data:a"), Image("data:b", "high")))
    assert turn_params("thread", turn)["input"] == [
        {"type": "text", "text": "see"},
        {"type": "image", "url": "data:a"},
        {"type": "image", "url": "data:b", "detail": "high"},
    ]


def test_history_keeps_roles_and_order_as_items_of_the_responses_api() -> None:
    history = (
        Message("developer", (Text("be kind"),)),
        Message("user", (Text("see"), Image("data:a", "low"), Image("data:b"))),
        Message("assistant", (Text("I see"), Text("it")), "commentary"),
    )
    assert history_items(history) == [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be kind"}]},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "data:a", "detail": "low"},
                {"type": "input_image", "image_url": "data:b"},
            ],
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I see"}, {"type": "output_text", "text": "it"}],
            "phase": "commentary",
        },
    ]


def test_calls_their_outputs_and_reasoning_of_the_history_are_items_too() -> None:
    history = (
        Reasoned("rs_1", ("**Looking**", "**Acting**"), "ENC"),
        Called("call_1", "look", '{"at": 1}'),
        Called("call_2", "exec_command", "{}", "mcp__box"),
        Answered("call_1", (Text("seen"),)),
        Answered("call_2", (Text("see"), Image("data:a", "high"))),
        Answered("call_3", ()),
        Answered("call_4", (Image("data:b"),)),
    )
    assert history_items(history) == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "**Looking**"}, {"type": "summary_text", "text": "**Acting**"}],
            "encrypted_content": "ENC",
        },
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at": 1}'},
        {
            "type": "function_call",
            "call_id": "call_2",
            "name": "client_exec_command",
            "namespace": "client_mcp__box",
            "arguments": "{}",
        },
        {"type": "function_call_output", "call_id": "call_1", "output": "seen"},
        {
            "type": "function_call_output",
            "call_id": "call_2",
            "output": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "data:a", "detail": "high"}],
        },
        {"type": "function_call_output", "call_id": "call_3", "output": ""},
        {"type": "function_call_output", "call_id": "call_4", "output": [{"type": "input_image", "image_url": "data:b"}]},
    ]


def test_the_clients_tools_are_dynamic_tools_of_the_thread() -> None:
    recipe = msgspec.structs.replace(_AGENT, tools=(Tool("look", "Looks.", "{}"),))
    assert [tool["name"] for tool in recipe.start_params()["dynamicTools"]] == ["look"]
