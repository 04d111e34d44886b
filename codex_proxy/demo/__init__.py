"""The demo: the real Codex CLI with a built-in offline model, in its own home and workspace.

It runs only on request, and says in every answer that it is a demo. The tests use the same model server with their own scripts.
"""
