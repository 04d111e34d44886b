"""Law of this room: it keeps responses, and knows neither HTTP nor Codex nor a dialect. What it keeps is bytes to it."""
