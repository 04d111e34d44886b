"""The OpenAI dialects; `chat` and `responses` do not know each other. Rule: pure. No I/O, clock, HTTP, Codex names or own ids."""
