"""Custom tools, whose argument is plain text: to Codex they are functions with one argument; the same in both dialects."""

import msgspec

NOTE = "\n\nThe argument `input` is the tool's whole input, as plain text."


class _Argument(msgspec.Struct):
    input: str


def argument(text: str) -> str:
    """The arguments of a call, as the model wrote them."""
    return msgspec.json.encode(_Argument(text)).decode()
