"""Which Codex thread continues a conversation. No HTTP and no wire format: it knows turns, and traces that only codex/ reads."""
