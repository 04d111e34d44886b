"""The legacy Completions API on top of `chat`: the prompt becomes a user message, and only the answer's text is shown."""
