"""The Chat Completions API: requests to a wish, events to chunks. It knows nothing of `responses`."""
