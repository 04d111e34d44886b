"""Custom tools, whose argument is plain text: for Codex, functions with one argument. The same in both dialects."""

import msgspec

NOTE = "\n\nThe argument `input` is the tool's whole input, as plain text."


class _Argument(msgspec.Struct):
    input: str


def argument(text: str) -> str:
    """Wrap the text of a call as the arguments that the model wrote."""
    return msgspec.json.encode(_Argument(text)).decode()
