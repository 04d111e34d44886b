"""The tasks of chat UIs are known by their whole templates, and what a person writes is never taken for one."""

import time
from typing import Any

import msgspec
import pytest

from codex_proxy.dialects import ui_tasks
from codex_proxy.dialects.chat import request
from codex_proxy.dialects.responses import request as responses

Json = dict[str, Any]  # Any: any JSON

_HISTORY = "<chat_history>\nUSER: Write a log file.\nASSISTANT: It is written.\n</chat_history>"


def _webui(task: str, output: str, between: str = "\n") -> str:
    guidelines = "### Guidelines:\n- Keep it short.\n- Use the chat's primary language."
    return f"### Task:\n{task}\n{between}{guidelines}\n{between}### Output:\n{output}\n{between}### Chat History:\n{_HISTORY}"


_TITLE = _webui("Generate a concise, 3-5 word title with an emoji.", 'JSON format: { "title": "your concise title here" }', "")
_AUTOCOMPLETE = (
    "### Task:\nYou are an autocompletion system. Continue the text in `<text>`.\n\n### **Instructions**:\n1. Analyze.\n\n"
    '### **Output Rules**:\n- Respond only in JSON format: `{ "text": "<your_completion>" }`.\n\n---\n### Context:\n'
    f"{_HISTORY}\n<type>General</type>\n<text>The sun</text>\n#### Output:\n"
)
_LOBE = (
    "You are a professional conversation summarizer. Generate a concise title that captures the essence of the conversation.\n\n"
    "Rules:\n- Output ONLY the title text\n- Maximum 10 words"
)
_NEXT = (
    "Please generate a four to five word title summarizing our conversation without any lead-in, punctuation, quotation marks, "
    "periods, symbols, bold text, or additional text. Remove enclosing quotation marks."
)
_CHERRY = (
    "You are an assistant skilled in conversation. You need to summarize the user's conversation into a title within 10 words. "
    "The language of the title should be consistent with the user's primary language."
)
_OLD_LIBRE = (
    "Detect user language and write in the same language an extremely concise title for this conversation, which you must "
    'accurately detect.\nWrite in the detected language.\n\n||>User:\n"Hi"\n||>Response:\n"Hello"\n\n||>Title:'
)
_CALLS = 'Available Tools: []\n\nYour task is to choose and return the correct tool(s) from the list.\n{"tool_calls": []}'


def _user(text: str) -> Json:
    return {"role": "user", "content": text}


def _system(text: str) -> Json:
    return {"role": "system", "content": text}


@pytest.mark.parametrize(
    ("messages", "name"),
    [
        ([_user(_TITLE)], "Open WebUI: title"),
        ([_system("Be kind."), _user(_TITLE)], "Open WebUI: title"),
        ([_user(_webui("Generate 1-3 broad tags.", 'JSON format: { "tags": ["tag1", "tag2"] }'))], "Open WebUI: tags"),
        ([_user(_webui("Suggest 3-5 questions.", 'JSON format: { "follow_ups": ["Question 1?"] }'))], "Open WebUI: follow-ups"),
        (
            [_user(_webui("Analyze.", 'Strictly return in JSON format: \n{\n  "queries": ["query1"]\n}'))],
            "Open WebUI: search queries",
        ),
        ([_user(_webui("Describe.", 'Strictly return in JSON format:\n{\n    "prompt": "Yours."\n}'))], "Open WebUI: image prompt"),
        ([_user(_AUTOCOMPLETE)], "Open WebUI: autocompletion"),
        ([_system(_CALLS), _user('Query: History:\nUSER: """Hi"""\nQuery: Hi')], "Open WebUI: tool choice"),
        ([_system(_CALLS), _user('History:\nUSER: """Hi"""\nQuery: Hi')], "Open WebUI: tool choice"),
        (
            [
                _user(
                    "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the "
                    "title itself.\n\nConversation:\nUser: Hi\nAI: Hello"
                )
            ],
            "LibreChat: title",
        ),
        (
            [
                _user(
                    "Analyze this conversation and provide:\n1. The detected language of the conversation\n2. A concise title in "
                    "the detected language (5 words or less, no punctuation or quotation)\n\nUser: Hi\nAI: Hello"
                )
            ],
            "LibreChat: title",
        ),
        ([_system(_OLD_LIBRE)], "LibreChat: title"),
        ([_system(_LOBE), _user("user: Hi\nassistant: Hello")], "LobeChat: title"),
        ([_system(_CHERRY), _user("[user] Hi")], "Cherry Studio: title"),
        ([_user("Hi"), {"role": "assistant", "content": "Hello"}, _user(_NEXT)], "NextChat: title"),
    ],
)
def test_a_task_is_known_by_its_template(messages: list[Json], name: str) -> None:
    raw = msgspec.json.encode({"messages": messages})
    assert request.decode(raw).wish.task == name
    assert ui_tasks.looks_like_one(raw)
    raw = msgspec.json.encode({"input": messages})
    assert responses.decode(raw).continuing(()).ui_task == name
    assert ui_tasks.looks_like_one(raw)


_TOOL = {"type": "function", "function": {"name": "look"}}


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [_user("### Task:\nGenerate a concise, 3-5 word title with an emoji.")]},  # its first line alone
        {"messages": [_user('### Task:\nWrite a script.\n### Output:\nJSON format: { "title": "x" }')]},
        {"messages": [_user(f"Explain this prompt:\n{_TITLE}")]},
        {"messages": [_user(f"{_TITLE}\nWhat does this do?")]},
        {"messages": [_user(f"### Task:\nFix the bug.\n### Chat History:\n{_HISTORY}")]},
        {"messages": [_user(_TITLE), {"role": "assistant", "content": "x"}, _user("Go on.")]},
        {"messages": [_user("Hi"), {"role": "assistant", "content": "x"}, _user(_TITLE)]},
        {"messages": [_user(_TITLE)], "stream": True},
        {"messages": [_user(_TITLE)], "tools": [_TOOL]},
        {"messages": [_user(_TITLE)], "x_codex": {"mode": "agent"}},
        {"messages": [_user(_TITLE)], "x_codex": {"sandbox": "workspace-write"}},
        {"messages": [_user("Please generate a four to five word title for our conversation.")]},
        {"messages": [_user("Provide a concise, 5-word-or-less title for the conversation, please.")]},
        {"messages": [_system(_LOBE), _user("Which files are here?")]},
        {"messages": [_system("You are an assistant skilled in conversation."), _user("Hi")]},
        {"messages": [_user("Hello")]},
        {"messages": [_user("<chat_history>" * 20_000)]},
    ],
)
def test_what_a_person_asks_is_no_task(body: Json) -> None:
    assert request.decode(msgspec.json.encode(body)).wish.task is None


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"input": _TITLE}, "Open WebUI: title"),
        ({"input": _TITLE, "instructions": "Be kind.", "store": False}, "Open WebUI: title"),
        ({"input": "user: Hi", "instructions": _LOBE, "stream": True}, "LobeChat: title"),
        ({"input": _TITLE, "stream": True}, None),
        ({"input": _TITLE, "tools": [{"type": "function", "name": "look"}]}, None),
        ({"input": _TITLE, "tools": [{"type": "web_search"}]}, None),
        ({"input": _TITLE, "previous_response_id": "resp_1"}, None),
        ({"input": _TITLE, "conversation": "conv_1"}, None),
        ({"input": _TITLE, "background": True}, None),
        ({"input": _TITLE, "store": True}, None),  # to be read later
        ({"input": "### Task:\nGenerate a concise, 3-5 word title with an emoji."}, None),
    ],
)
def test_a_task_is_known_in_the_responses_api(members: Json, name: str | None) -> None:
    assert responses.decode(msgspec.json.encode(members)).continuing(()).ui_task == name


def test_a_streamed_task_is_known_where_the_ui_streams_it() -> None:
    streamed = {"stream": True, "messages": [_system(_LOBE), _user("user: Hi\nassistant: Hello")]}
    assert request.decode(msgspec.json.encode(streamed)).wish.task == "LobeChat: title"


@pytest.mark.parametrize(
    "text", ["### Task:" + "\n### a" * 40_000, "||>User:" * 30_000, "### Task:" + '\n### {"x' * 20_000 + "\n<chat_history>\n" * 500]
)
def test_a_hostile_text_is_looked_through_in_linear_time(text: str) -> None:
    raw = msgspec.json.encode({"messages": [_user(text)]})
    began = time.process_time()
    assert request.decode(raw).wish.task is None
    assert time.process_time() - began < 1.0
