"""The Chat Completions API: requests to a wish, events to chunks. It does not know `responses`."""
