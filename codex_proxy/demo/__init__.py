"""The demo: the real Codex CLI with a built-in offline model, in a home and a workspace of its own.

It never starts unless asked for, and says in every answer that it is a demo. The tests script the same model server.
"""
