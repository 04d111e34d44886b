"""Stores of responses. Rule: nothing here knows HTTP, Codex or a dialect; the contents are opaque bytes."""
