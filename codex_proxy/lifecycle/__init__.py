"""The life of a response from acceptance to its stored end, whatever the store does. Knows no HTTP.

Rule: clients are told only what has happened. A record exists before its turn begins, an end is reported only after it is written,
and failed writes are retried until the store accepts them.
"""
