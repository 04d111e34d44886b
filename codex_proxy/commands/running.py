"""Run one command: parse its arguments, call it, and turn failures into a message and an exit code.

0: success. 1: failed while running. 2: could not start; one sentence says why and what to do. 130: Ctrl-C.
"""

import argparse
import importlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from codex_proxy.errors import CommandFailed, CommandNotFound, ProxyError, StorageFull, StoreUnavailable
from codex_proxy.near_misses import did_you_mean
from codex_proxy.settings import SettingsError

BROKE, NOT_STARTED = 1, 2
_INTERRUPTED = 130
_UNKNOWN = re.compile(r"unrecognized arguments: (\S+)")
_CHOICE = re.compile(r"invalid choice: '([^']*)'")


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors suggest what was probably meant."""

    def error(self, message: str) -> NoReturn:
        if found := _UNKNOWN.search(message):
            typed = found[1].partition("=")[0]
            meant = did_you_mean(typed, self._words(options=True)) if typed.startswith("-") else ""
            message = f"unknown {'option' if typed.startswith('-') else 'argument'}: {typed}.{meant}"
        elif found := _CHOICE.search(message):
            meant = did_you_mean(found[1], self._words(options=False))
            message = f"{message}.{meant}" if meant else message
        self.exit(NOT_STARTED, f"{self.prog}: {message}\nSee: {self.prog} --help\n")

    def _words(self, *, options: bool) -> Iterator[str]:
        """Yield all options, or all choices, of this parser and its subparsers."""
        for action in self._actions:
            choices: Iterable[Any] = action.choices or ()
            yield from action.option_strings if options else map(str, choices)
            if isinstance(choices, dict):
                for below in choices.values():
                    yield from below._words(options=options)


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
    except BrokenPipeError:  # the reader of a pipe has gone; Python would complain when flushing stdout at exit
        sys.stderr.close()
        return BROKE
