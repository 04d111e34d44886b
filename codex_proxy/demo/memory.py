"""What the demo remembers of a conversation: it is told all of it each time, as every model is."""

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
_NOT_SAID = ("<", "# AGENTS.md")  # so begins what Codex says in the user's name


def said_before(said: list[str]) -> list[str]:
    """What the user has said before the last message, oldest first. `said`: all of it, the last one first."""
    return [text for text in reversed(said[1:]) if text.strip() and not text.startswith(_NOT_SAID)]


def to_keep(prompt: str) -> str | None:
    """What a message wants to be remembered, as said back to the user."""
    if prompt.rstrip().endswith("?"):
        return None
    if found := _REMEMBER.search(prompt):
        return _turned(found[1].strip())
    found = _MINE.search(prompt)
    return f"that your {found[1]} is {_turned(found[2].strip())}" if found else None


def recalled(prompt: str, before: list[str]) -> list[str]:
    """What was to be remembered and the prompt asks for: what shares a word with it, else everything; newest last."""
    if not _QUESTION.search(prompt):
        return []
    kept = [(text, fact) for text in before if (fact := to_keep(text)) is not None]
    asked = _words(prompt)
    return [fact for text, fact in kept if asked & _words(text)] or [fact for _, fact in kept if len(asked) < 2]


def _words(text: str) -> set[str]:
    return {word.rstrip("s") for word in _WORD.findall(text.lower()) if word not in _SMALL}


def _turned(fact: str) -> str:
    return re.sub(r"\bmy\b", "your", re.sub(r"\bI am\b", "you are", fact), flags=re.IGNORECASE)
