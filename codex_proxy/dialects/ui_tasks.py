"""Recognizes tasks that chat UIs send on their own, besides a person's messages: titles, tags, follow-up questions. Pure.

A task must match the UI's whole template, as released: the headed sections and the quoted chat history, never just a first line,
which a person could write as well.
"""

import re

import msgspec

from codex_proxy.history import History, Message, Text
from codex_proxy.wish import Wish

_LONGEST = 256 * 1024  # characters; no task is as long, and scanning more is not worth it

# Open WebUI: "### Task:", more sections, and the history in tags at the end; only its autocompletion has text after that.
_TASK, _SECTION, _QUOTED, _QUOTED_END = "### Task:", "\n### ", "\n<chat_history>\n", "</chat_history>"
_OUTPUT_KEY = re.compile(r'\{\s*"(title|tags|follow_ups|queries|prompt|text)":')
_OUTPUT_KINDS = {"follow_ups": "follow-ups", "queries": "search queries", "prompt": "image prompt", "text": "autocompletion"}


class _Form(msgspec.Struct, frozen=True):
    """A message of a template: its beginning, its end, and text inside it. No regular expressions: the texts are untrusted."""

    starts: tuple[str, ...] = ("",)  # one of these
    has: tuple[str, ...] = ()
    ends: str = ""

    def fits(self, text: str) -> bool:
        return text.startswith(self.starts) and text.endswith(self.ends) and all(part in text for part in self.has)


class _Template(msgspec.Struct, frozen=True):
    """A complete prompt of a UI. Without a `system` form, any system message is accepted: the operator may have set one."""

    name: str
    system: _Form = _Form()
    user: _Form | None = _Form()  # None: no user message
    after_a_conversation: bool = False  # the conversation precedes the task instead of being quoted
    streamed: bool = False


_ROLES = ("user: ", "assistant: ", "system: ")
_TEMPLATES = (
    _Template(
        "Open WebUI: tool choice",
        _Form(("Available Tools: ",), ("Your task is to choose and return the correct tool(s)", '"tool_calls"')),
        _Form(("Query: ", "History:\n"), ("Query: ",)),
    ),
    _Template(
        "Open WebUI: emoji",
        user=_Form(
            ("Your task is to reflect the speaker's likely facial expression through a fitting emoji.",), ("\nMessage: ```",), "```"
        ),
    ),
    _Template(
        "LibreChat: title",
        user=_Form(
            ("Provide a concise, 5-word-or-less title for the conversation, using title case conventions.",),
            ("Only return the title itself.", "Conversation:\n", "User: "),
        ),
    ),
    _Template(
        "LibreChat: title",
        user=_Form(
            ("Analyze this conversation and provide:\n1. The detected language of the conversation\n",),
            ("\n2. A concise title in the detected language ", "\nUser: "),
        ),
    ),
    _Template(
        "LibreChat: title",
        _Form(
            ("Detect user language and write in the same language an extremely concise title for this conversation,",),
            ("||>User:",),
            "||>Title:",
        ),
        None,
    ),
    _Template(
        "LobeChat: title",
        _Form(("You are a professional conversation summarizer. Generate a concise title that captures",), ("Rules:\n",)),
        _Form(_ROLES),
        streamed=True,
    ),
    _Template("LobeChat: title", _Form(("你是一名擅长会话的助理，你需要将用户的会话总结为",)), _Form(_ROLES), streamed=True),
    _Template(
        "Cherry Studio: title",
        _Form(("You are an assistant skilled in conversation. You need to summarize the user's conversation into a title within",)),
    ),
    _Template(
        "Chatbox: title",
        user=_Form(("Based on the chat history, give this conversation a name.\n",), ("Here's the conversation:", "```")),
    ),
    _Template(
        "NextChat: title",
        user=_Form(
            ("Please generate a four to five word title summarizing our conversation without any lead-in, punctuation,",),
            ends="Remove enclosing quotation marks.",
        ),
        after_a_conversation=True,
    ),
)

# For each template, a string that the bytes of every request with it contain.
_MARKS = (
    *(b"<chat_history>", b"Available Tools: ", b"facial expression through a fitting emoji", b"5-word-or-less title"),
    *(b"Analyze this conversation and provide:", b"extremely concise title", b"professional conversation summarizer"),
    *(b"assistant skilled in conversation", b"give this conversation a name", b"four to five word title"),
)


def recognised(wish: Wish, *, streamed: bool) -> str | None:
    """Return the UI and task, like "Open WebUI: title"; None for a person's own request."""
    chosen = wish.tools or wish.web_search or wish.mode is not None or wish.sandbox is not None
    if chosen or not all(_plain(part) for part in wish.input):
        return None
    system = _text_of([item for item in wish.history if isinstance(item, Message) and item.role == "developer"])
    user = "".join(part.text for part in wish.input if isinstance(part, Text)).strip()
    if len(system) + len(user) > _LONGEST:
        return None
    alone = all(isinstance(item, Message) and item.role == "developer" for item in wish.history)
    if alone and not streamed and (kind := _kind_for_open_webui(user)):
        return f"Open WebUI: {kind}"
    may_be = (one for one in _TEMPLATES if (alone or one.after_a_conversation) and (not streamed or one.streamed))
    return next((one.name for one in may_be if one.system.fits(system) and (one.user.fits(user) if one.user else not user)), None)


def _kind_for_open_webui(user: str) -> str | None:
    head, quoted, rest = user.partition(_QUOTED)
    _, end, after = rest.rpartition(_QUOTED_END)
    whole = bool(quoted and end) and (not after.strip() or after.lstrip().startswith("<type>"))
    if not whole or not head.startswith(_TASK) or head.count(_SECTION) < 2:
        return None
    key = _OUTPUT_KEY.search(head)
    return _OUTPUT_KINDS.get(key[1], key[1]) if key else None


def looks_like_one(raw: bytes | bytearray) -> bool:
    """Return whether a request's bytes could be a task: a cheap check, so that few other requests are decoded for it."""
    return len(raw) <= _LONGEST and any(mark in raw for mark in _MARKS)


def _plain(part: object) -> bool:
    return isinstance(part, Text)


def _text_of(history: list[History]) -> str:
    parts = [part for item in history if isinstance(item, Message) for part in item.parts]
    return "\n".join(part.text for part in parts if isinstance(part, Text)).strip()
