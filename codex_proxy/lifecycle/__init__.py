"""The life of a response from its acceptance to its stored end, whatever the store does. Knows no HTTP.

Rule: what a client is told is what happened. A record is there before its turn begins, an end is told only once it is
written, and whatever could not be written is tried again until the store has taken it.
"""
