"""The Codex CLI. Rule: nothing here knows HTTP, dialects or the queue, and nothing outside imports `wire`."""
