"""Law of this room: it knows the Codex CLI, and knows no HTTP, no dialect and no queue. `wire` stays in here."""
