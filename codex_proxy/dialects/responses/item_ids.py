"""The ids of items: each says which response it is of, so that an item which is named by its id alone is found again."""

import re

_FORM = re.compile(r"[a-z]+_([0-9a-f]{32})_i?\d{1,6}(?:_(.{1,256}))?", re.ASCII)
_RESPONSE = "resp_"
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


def response_of(item_id: str) -> str | None:
    """The id of the response that has an item; None for an id that is not of ours."""
    found = _FORM.fullmatch(item_id)
    return _RESPONSE + found[1] if found else None


def providers(reasoning_id: str) -> str:
    """The provider's id of reasoning."""
    found = _FORM.fullmatch(reasoning_id)
    return f"{REASONING}_{found[2]}" if found and found[2] else reasoning_id
