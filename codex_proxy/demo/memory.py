"""What the demo recalls from a conversation, all of which it receives with every request, like any model."""

import re

_REMEMBER = re.compile(r"\bremember\b(?: that| this)?[:,]?\s+([^.!?\n]+)", re.IGNORECASE)
_MINE = re.compile(r"\bmy ([\w ]{1,40}?) (?:is|are) ([^.!?\n]+)", re.IGNORECASE)
_QUESTION = re.compile(r"\b(?:which|what|who|whom|when|where|how|recall|remind|do you (?:know|remember)|can you)\b", re.IGNORECASE)
_WORD = re.compile(r"\w{3,}")
_SMALL = frozenset(
    (
        *("the", "and", "you", "your", "what", "which", "was", "were", "did", "does", "that", "this", "with", "for", "who"),
        *("tell", "told", "say", "said", "about", "remember", "know"),
    )
)
_NOT_SAID = ("<", "# AGENTS.md")  # beginnings of the user messages that come from Codex


def said_before(said: list[str]) -> list[str]:
    """The user's messages before the last one, oldest first. `said` has all user messages, the last one first."""
    return [text for text in reversed(said[1:]) if text.strip() and not text.startswith(_NOT_SAID)]


def to_keep(prompt: str) -> str | None:
    """What a message asks to remember, worded as a reply to the user; None if nothing."""
    if prompt.rstrip().endswith("?"):
        return None
    if found := _REMEMBER.search(prompt):
        return _turned(found[1].strip())
    found = _MINE.search(prompt)
    return f"that your {found[1]} is {_turned(found[2].strip())}" if found else None


def recalled(prompt: str, before: list[str]) -> list[str]:
    """The facts to remember that the prompt asks for, newest last.

    These are the facts that share a word with the prompt; if there are none and the prompt is vague, all facts.
    """
    if not _QUESTION.search(prompt):
        return []
    kept = [(text, fact) for text in before if (fact := to_keep(text)) is not None]
    asked = _words(prompt)
    return [fact for text, fact in kept if asked & _words(text)] or [fact for _, fact in kept if len(asked) < 2]


def _words(text: str) -> set[str]:
    return {word.rstrip("s") for word in _WORD.findall(text.lower()) if word not in _SMALL}


def _turned(fact: str) -> str:
    return re.sub(r"\bmy\b", "your", re.sub(r"\bI am\b", "you are", fact), flags=re.IGNORECASE)
