"""The ids of items: each says what it is of, a response or a conversation, so that its id alone is enough to find it again."""

import re

_FORM = re.compile(r"[a-z]+_([0-9a-f]{32})_i?\d{1,6}(?:_(.{1,256}))?", re.ASCII)
_CONVERSATIONS = re.compile(r"[a-z]+_([0-9a-f]{32})_c[0-9a-f]{16}", re.ASCII)
_RESPONSE = "resp_"
_CONVERSATION = "conv_"
REASONING = "rs"


def of_output(prefix: str, response_id: str, index: int) -> str:
    """Of the item at `index` of a response's output; `prefix` tells its kind, like msg."""
    return f"{prefix}_{response_id.removeprefix(_RESPONSE)}_{index}"


def of_reasoning(response_id: str, index: int, theirs: str) -> str:
    """The same of reasoning, with the provider's own id: what is encrypted in it is verified by that."""
    return f"{of_output(REASONING, response_id, index)}_{theirs.removeprefix(f'{REASONING}_')}"


def of_input(prefix: str, response_id: str, number: int) -> str:
    """Of an item that the client gave without an id."""
    return f"{prefix}_{response_id.removeprefix(_RESPONSE)}_i{number}"


def of_conversation(prefix: str, conversation_id: str, unique: str) -> str:
    """Of an item that was added to a conversation without an id; `unique` is a number of 16 hexadecimal digits."""
    return f"{prefix}_{conversation_id.removeprefix(_CONVERSATION)}_c{unique}"


def conversation_of(item_id: str) -> str | None:
    """The id of the conversation that an item was added to; None for any other item."""
    found = _CONVERSATIONS.fullmatch(item_id)
    return _CONVERSATION + found[1] if found else None


def response_of(item_id: str) -> str | None:
    """The id of the response that has an item; None for an id that is not of ours."""
    found = _FORM.fullmatch(item_id)
    return _RESPONSE + found[1] if found else None


def providers(reasoning_id: str) -> str:
    """The provider's id of reasoning."""
    found = _FORM.fullmatch(reasoning_id)
    return f"{REASONING}_{found[2]}" if found and found[2] else reasoning_id
