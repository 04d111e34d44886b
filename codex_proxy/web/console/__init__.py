"""The console: the page at / (static/, no build step) and the /x_codex routes that it reads. Rule: a caller sees his own, the
operator everybody's; and never more of it than the log has, so no prompt and no answer of somebody else's.
"""
