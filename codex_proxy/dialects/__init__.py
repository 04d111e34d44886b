"""The two OpenAI dialects, independent of each other. Rule: pure. No I/O, clock, HTTP, Codex names or ids of their own."""
