"""The Responses API: requests to a wish, events to stream events and items. It does not know `chat`."""
