"""The Codex CLI. Nothing in this package knows HTTP, dialects or the queue, and nothing outside it imports `wire`."""
