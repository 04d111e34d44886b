"""Item ids. Each encodes the response or conversation that it belongs to, so the id alone is enough to find the item."""

import re

_FORM = re.compile(r"[a-z]+_([0-9a-f]{32})_i?\d{1,6}(?:_(.{1,256}))?", re.ASCII)
_CONVERSATIONS = re.compile(r"[a-z]+_([0-9a-f]{32})_c[0-9a-f]{16}", re.ASCII)
_RESPONSE = "resp_"
_CONVERSATION = "conv_"
REASONING = "rs"


def of_output(prefix: str, response_id: str, index: int) -> str:
    """Return the id of the item at `index` of a response's output; `prefix` gives its kind, like msg."""
    return f"{prefix}_{response_id.removeprefix(_RESPONSE)}_{index}"


def of_reasoning(response_id: str, index: int, theirs: str) -> str:
    """Return the id of a reasoning item, including the provider's id, against which its encrypted content is verified."""
    return f"{of_output(REASONING, response_id, index)}_{theirs.removeprefix(f'{REASONING}_')}"


def of_input(prefix: str, response_id: str, number: int) -> str:
    """Return the id of an input item that the client gave without one."""
    return f"{prefix}_{response_id.removeprefix(_RESPONSE)}_i{number}"


def of_conversation(prefix: str, conversation_id: str, unique: str) -> str:
    """Return the id of an item added to a conversation without one; `unique` is 16 hexadecimal digits."""
    return f"{prefix}_{conversation_id.removeprefix(_CONVERSATION)}_c{unique}"


def conversation_of(item_id: str) -> str | None:
    """Return the id of the conversation that an item was added to; None for any other item."""
    found = _CONVERSATIONS.fullmatch(item_id)
    return _CONVERSATION + found[1] if found else None


def response_of(item_id: str) -> str | None:
    """Return the id of the response that an item belongs to; None for an id that is not ours."""
    found = _FORM.fullmatch(item_id)
    return _RESPONSE + found[1] if found else None


def providers(reasoning_id: str) -> str:
    """Return the provider's id of a reasoning item."""
    found = _FORM.fullmatch(reasoning_id)
    return f"{REASONING}_{found[2]}" if found and found[2] else reasoning_id
