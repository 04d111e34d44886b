"""Law of this room: pure. No I/O, no clock, no ids of its own, no HTTP, no Codex name; the dialects do not know each other."""
