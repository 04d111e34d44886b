"""The console commands, a module each: `add_arguments(parser)` and `run(arguments) -> exit code`.

`cli.py` imports the one module that is asked for, so a command costs what it uses and no more. Those that talk to a
running server do it through `api.py`, over the standard library's HTTP client; only `serve` imports the server.
"""
