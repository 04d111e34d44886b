"""`codex-proxy chat`: a conversation in the terminal, or a single answer in a pipe. Ctrl-C stops the turn, not the program."""

import argparse
import contextlib
import importlib
import os
import sys
from urllib.parse import quote

from codex_proxy.ceilings import SANDBOXES
from codex_proxy.commands import api, place
from codex_proxy.commands.chat_view import Plain, Screen, View
from codex_proxy.commands.conversation import Asking, Conversation, latest_with
from codex_proxy.commands.running import BROKE
from codex_proxy.commands.terminal import Style
from codex_proxy.errors import CommandFailed
from codex_proxy.near_misses import did_you_mean
from codex_proxy.settings import EFFORTS

_PROMPT = "› "
_CHOICES = {"/model": "model", "/effort": "effort", "/sandbox": "sandbox", "/cwd": "cwd"}
_KNOWN = {"/effort": EFFORTS, "/sandbox": SANDBOXES}
_DEFAULT, _THE_DEFAULT = "default", "the server's default"
_QUICK = 5.0  # seconds
_HELP = """\
/model NAME     use this model; an effort and a mode can follow: gpt-5.5 high chat
/effort NAME    use this reasoning effort
/sandbox MODE   what commands may do: read-only, workspace-write or
                danger-full-access
/cwd DIR        work in this directory, inside the server's workspaces
                Without a value, these show what is chosen and what there is;
                "default" returns to the server's default.
/new            start a new conversation
/exit           end; so does Ctrl-D
Ctrl-C stops an answer. Pasted text can have several lines; to type several,
end each but the last with \\."""

EPILOG = """With a prompt it prints one answer and exits. Piped output is the answer
alone; piped input is added to the prompt:
  git diff | codex-proxy chat "Review this change" > review.md"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", nargs="*", metavar="PROMPT", help="what to ask; without it, start a conversation")
    parser.add_argument("-m", "--model", help='a model, optionally with an effort and a mode: "gpt-5.5 high chat"')
    parser.add_argument("-e", "--effort", choices=EFFORTS, metavar="EFFORT", help="reasoning effort: low, medium, high, …")
    parser.add_argument("-s", "--sandbox", choices=SANDBOXES, metavar="MODE", help=f"what commands may do: {', '.join(SANDBOXES)}")
    parser.add_argument("-C", "--cwd", metavar="DIR", help="the working directory, inside the server's workspaces")
    parser.add_argument("-c", "--continue", dest="go_on", action="store_true", help="continue the latest conversation")
    api.add_server_options(parser)


def run(arguments: argparse.Namespace) -> int:
    server = api.server(arguments)
    cwd = os.path.abspath(arguments.cwd) if arguments.cwd else None
    asking = Asking(arguments.model, arguments.effort, arguments.sandbox, cwd)
    talk = Conversation(server, asking, latest_with(server) if arguments.go_on else None)
    if arguments.go_on and talk.latest is None:
        print("There is no conversation to continue; starting a new one.", file=sys.stderr)
    prompt = " ".join(arguments.prompt)
    if not sys.stdin.isatty():
        prompt = "\n\n".join(filter(None, (prompt, sys.stdin.read().strip())))
        if not prompt:
            raise CommandFailed("Nothing to ask: the prompt and stdin are empty.")
    if not prompt:
        return _converse(talk, place.out_style())
    view: View = Screen(place.out_style()) if sys.stdout.isatty() else Plain()
    return 0 if talk.ask(prompt, view) else BROKE


def _converse(talk: Conversation, style: Style) -> int:
    models = talk.server.get("/models")["data"]  # report a wrong key or address before anything is typed
    named = talk.asking.model or (models[0]["id"] if models else "the server's model")
    print(f"{style.bold(named)} at {talk.server.base_url}")
    print(style.dim("Ctrl-C stops an answer, Ctrl-D exits, /help lists the commands."))
    _edit_lines()
    while True:
        try:
            typed = _typed()
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print(style.dim("\nPress Ctrl-D to exit."))
            continue
        if typed in ("/exit", "/quit"):
            return 0
        if typed.startswith("/") and "/" not in typed.split()[0][1:]:  # not a path
            print(style.dim(_obey(typed, talk)))
        elif typed:
            _ask(talk, typed, style)


def _ask(talk: Conversation, prompt: str, style: Style) -> None:
    print()
    try:
        talk.ask(prompt, Screen(style))
    except KeyboardInterrupt:
        print(style.dim("\nStopped."))
    except CommandFailed as error:
        print(style.bad(str(error)))
    print()


def _typed() -> str:
    """Read the next prompt; a backslash at the end of a line continues it."""
    line = input(_PROMPT)
    lines = [line]
    while line.endswith("\\"):
        line = input("  ")
        lines = [*lines[:-1], lines[-1][:-1], line]
    return "\n".join(lines).strip()


def _edit_lines() -> None:
    """Give input() line editing and history if Python was built with readline. Pasted lines are one prompt, not one each."""
    with contextlib.suppress(ImportError):
        importlib.import_module("readline").parse_and_bind("set enable-bracketed-paste on")  # Python turns it off


def _obey(typed: str, talk: Conversation) -> str:
    """Run a slash command; returns the text to show."""
    word, _, rest = typed.partition(" ")
    rest = rest.strip()
    if word == "/help":
        return _HELP
    if word == "/new":
        talk.latest = None
        return "A new conversation."
    if word not in _CHOICES:
        return f"There is no {word}.{did_you_mean(word, (*_CHOICES, '/new', '/exit', '/help'))} /help lists all."
    try:
        return _choose(word, rest, talk)
    except CommandFailed as error:
        return str(error)


def _choose(word: str, value: str, talk: Conversation) -> str:
    """Set one option of the next prompts, or show it; returns the text to show. Raises CommandFailed."""
    option = _CHOICES[word]
    known = _KNOWN.get(word, ())
    if not value:
        values = _models(talk) if word == "/model" else known
        there_are = f". Values: {', '.join(values)}" if values else ""
        return f"{option}: {getattr(talk.asking, option) or _THE_DEFAULT}{there_are}"
    if value == _DEFAULT:
        setattr(talk.asking, option, None)
        return f"{option}: {_THE_DEFAULT}"
    if known and value not in known:
        return f"{word} has no value {value!r}.{did_you_mean(value, known)} Values: {', '.join(known)}"
    if word == "/model":
        talk.server.get(f"/models/{quote(value, safe='')}", timeout=_QUICK)  # refused if there is no such model
    chosen = os.path.abspath(value) if word == "/cwd" else value
    setattr(talk.asking, option, chosen)
    return f"{option}: {chosen}"


def _models(talk: Conversation) -> list[str]:
    """The models that the server lists, without the names of their chat mode."""
    names = [str(one["id"]) for one in talk.server.get("/models", timeout=_QUICK)["data"]]
    return [name for name in names if not name.endswith(" chat")]
