"""Find the shell command that a prompt asks the demo to run. Prose is not taken for a command: "Run the tests." has none."""

import re
import shutil

_VERB = r"(?<![\w`])(?:run|execute)(?![\w`])"
_QUOTED = re.compile(_VERB + r"[^`\n.!?]{0,60}`([^`\n]+)`", re.IGNORECASE)
_FENCED = re.compile(_VERB + r"[^`]{0,60}```(?:\w*)\n(.+?)\n?```", re.IGNORECASE | re.DOTALL)
_BARE = re.compile(_VERB + r"(?:\s+(?:the\s+)?(?:shell\s+)?command)?\s*:?\s+([^\n]+)", re.IGNORECASE)
_FORBIDDEN = re.compile(r"\b(?:not|never|n't|n’t|without)\s+(?:\w+\s+)?(?:run|running|execute|executing)\b", re.IGNORECASE)
_ARGUMENT = re.compile(r"-{1,2}\w.*|.*[/.*=$~|>0-9'\"].*|[|&;<>]+")
_TALKERS = frozenset(("echo", "printf"))  # their arguments may be prose
_BUILTINS = frozenset((*_TALKERS, "cd", "pwd", "type", "export", "set", "ulimit", "umask", "test", "true", "false"))
_PLACE = r"(?:this|the|your|my)\s+(?:current\s+|working\s+)?(?:directory|folder|workspace)"
_DIRECTORY = re.compile(rf"\b(?:what|which|list|show)\b[^.?!\n]*(?:\bin\s+{_PLACE}|\bfiles\b)", re.IGNORECASE)


def wanted(prompt: str) -> str | None:
    """The command that the prompt asks for; None if there is none."""
    if _FORBIDDEN.search(prompt):
        return None
    if quoted := _FENCED.search(prompt) or _QUOTED.search(prompt):
        return quoted[1].strip() or None
    for bare in _BARE.finditer(prompt):
        command = bare[1].strip().rstrip(".!?").strip()
        if _is_command(command.split()):
            return command
    return "ls" if _DIRECTORY.search(prompt) else None


def _is_command(words: list[str]) -> bool:
    """Whether unquoted words are certainly a command: a program, and arguments that do not occur in prose."""
    if not words or not (words[0] in _BUILTINS or shutil.which(words[0])):
        return False
    return words[0] in _TALKERS or all(_ARGUMENT.fullmatch(word) for word in words[1:])
