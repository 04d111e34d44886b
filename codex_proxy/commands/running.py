"""Run one command: parse its arguments, call it, and turn failures into a message and an exit code.

0: success. 1: failed while running. 2: could not start; one sentence says why and what to do. 130: Ctrl-C.
"""

import argparse
import contextlib
import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from codex_proxy.errors import CommandFailed, CommandNotFound, ProxyError, StorageFull, StoreUnavailable
from codex_proxy.near_misses import did_you_mean
from codex_proxy.settings import SettingsError

BROKE, NOT_STARTED = 1, 2
_INTERRUPTED = 130
_UNKNOWN = re.compile(r"unrecognized arguments: (\S+)")
_CHOICE = re.compile(r"argument (?P<of>\S+): invalid choice: '(?P<typed>[^']*)' \(choose from (?P<known>.*)\)")
_NOT_A_NUMBER = re.compile(r"argument (\S+): invalid int value: ('.*')")
_COMMAND = "COMMAND"  # the metavar of subcommands


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors suggest what was probably meant."""

    def error(self, message: str) -> NoReturn:
        if found := _UNKNOWN.search(message):
            typed = found[1].partition("=")[0]
            meant = did_you_mean(typed, self._options()) if typed.startswith("-") else ""
            message = f"unknown {'option' if typed.startswith('-') else 'argument'}: {typed}.{meant}"
        elif found := _CHOICE.search(message):
            known = found["known"].replace("'", "")
            meant = did_you_mean(found["typed"], known.split(", "))
            if found["of"] == _COMMAND:
                message = f"unknown command: {found['typed']}.{meant} Commands: {known}"
            else:
                message = f"{found['of']} has no value {found['typed']!r}.{meant} Values: {known}"
        elif found := _NOT_A_NUMBER.search(message):
            message = f"{found[1]} must be a whole number, not {found[2]}"
        elif message.endswith(f"required: {_COMMAND}"):
            self.print_help(sys.stderr)
            self.exit(NOT_STARTED)
        self.exit(NOT_STARTED, f"{self.prog}: {message}\nSee: {self.prog} --help\n")

    def _options(self) -> Iterator[str]:
        """Yield all options of this parser and its subparsers."""
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action.choices, dict):
                for below in action.choices.values():
                    yield from below._options()


def parser_of(module: str, prog: str, summary: str) -> tuple[Any, Parser]:  # Any: a module of this package
    """Return the module of a command and the parser for its arguments."""
    command = importlib.import_module(f"codex_proxy.commands.{module}")
    parser = Parser(
        prog=prog,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=getattr(command, "EPILOG", None),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    return command, parser


def run(module: str, prog: str, summary: str, words: Sequence[str], *, helped: bool = False) -> int:
    """Run a command with its arguments; returns its exit code.

    A module with PASSES_ON gets all of them in `arguments`, options too, unless `helped`: `codex-proxy help` was asked about it.
    """
    command, parser = parser_of(module, prog, summary)
    passes_on = getattr(command, "PASSES_ON", False) and not helped
    arguments = argparse.Namespace(arguments=list(words)) if passes_on else parser.parse_args(words)
    try:
        code: int = command.run(arguments)
        sys.stdout.flush()
        return code
    except (SettingsError, CommandNotFound) as error:
        print(error, file=sys.stderr)
        return NOT_STARTED
    except (StoreUnavailable, StorageFull) as error:
        print(f"{error} {error.detail} Set PROXY_STORE.", file=sys.stderr)
        return NOT_STARTED
    except CommandFailed as error:
        print(error, file=sys.stderr)
        return BROKE
    except ProxyError as error:
        print(f"{error} {error.detail}".rstrip(), file=sys.stderr)
        return BROKE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except EOFError:  # Ctrl-D at a question
        print(file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has gone; Python would complain when flushing stdout at exit
        sys.stderr.close()
        return BROKE
    except OSError as error:  # a full disk behind stdout, a directory without write access
        print(f"{prog}: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        with contextlib.suppress(OSError):
            sys.stdout.close()  # or Python would complain at exit
        return BROKE
