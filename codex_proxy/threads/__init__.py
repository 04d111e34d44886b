"""Find the Codex thread that continues a conversation. Knows turns and opaque traces, but neither HTTP nor a wire format."""
