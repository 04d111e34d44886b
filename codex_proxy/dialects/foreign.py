"""Members of one dialect that clients send to the other, with the advice to give."""

_IN_CHAT = "In the Chat Completions API, use {} instead."
_CONTINUED = "Chat Completions has no such parameter: send the whole conversation in 'messages', or use POST /v1/responses."
CHAT = {
    "input": _IN_CHAT.format("'messages'"),
    "instructions": _IN_CHAT.format("a message with the role 'developer'"),
    "max_output_tokens": _IN_CHAT.format("'max_completion_tokens'"),
    "reasoning": _IN_CHAT.format("'reasoning_effort'"),
    "text": _IN_CHAT.format("'response_format' and 'verbosity'"),
    "previous_response_id": _CONTINUED,
    "conversation": _CONTINUED,
}

_IN_RESPONSES = "In the Responses API, this parameter has moved to {}."
RESPONSES = {
    "messages": _IN_RESPONSES.format("'input'"),
    "response_format": _IN_RESPONSES.format("'text.format'"),
    "verbosity": _IN_RESPONSES.format("'text.verbosity'"),
    "max_tokens": _IN_RESPONSES.format("'max_output_tokens'"),
    "max_completion_tokens": _IN_RESPONSES.format("'max_output_tokens'"),
    "reasoning_effort": _IN_RESPONSES.format("'reasoning.effort'"),
    "functions": _IN_RESPONSES.format("'tools'"),
    "function_call": _IN_RESPONSES.format("'tool_choice'"),
    "web_search_options": _IN_RESPONSES.format("'tools', as a tool of type 'web_search'"),
}
