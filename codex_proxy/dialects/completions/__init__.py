"""The legacy Completions API over what `chat` makes of a turn: the prompt is a user's message, the answer's text alone is shown."""
