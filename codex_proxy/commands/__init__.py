"""The console commands, one module each: `add_arguments(parser)` and `run(arguments) -> exit code`.

`cli.py` imports only the module of the command that was asked for, so a command loads no more than it uses. Commands that talk to a
running server do so through `api.py`, over the standard library's HTTP client; only `serve` imports the server.
"""
