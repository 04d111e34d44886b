"""The console: the page at / (static/, no build step) and the /x_codex routes that it reads.

Rule: a caller sees its own turns, the operator everyone's, and never more than the log has: no prompts or answers of others.
"""
