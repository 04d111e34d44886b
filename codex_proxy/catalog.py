"""The models on offer, and what a model name asks for: "gpt-5.5 high chat" -> model, effort, mode. Pure.

A name is a model's id or an alias, then perhaps an effort that the model has and a mode, in any order, parted by spaces
or colons, in any case. What is somebody's whole id always wins over what it could be read as.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from codex_proxy.errors import InvalidRequest, ModelNotFound
from codex_proxy.turns import Mode

_T = TypeVar("_T")
_MODES: dict[str, Mode] = {"chat": "chat", "agent": "agent"}
_SEPARATORS = " :"
_WORDS_AT_MOST = 2  # an effort and a mode
_PREFIXES = ("openai/", "codex/")  # clients put the provider's name in front
_NAMED_AT_MOST = 40


class Model(msgspec.Struct, frozen=True):
    """One model. `efforts` is empty where they are not known (CODEX_EXTRA_MODELS, a local provider's model).

    `manifest` is the CLI's own entry for it, which a Codex CLI that is our client reads; None where there is none.
    """

    id: str
    efforts: tuple[str, ...] = ()
    default_effort: str | None = None
    modalities: tuple[str, ...] = ("text", "image")
    hidden: bool = False
    display_name: str = ""
    context_length: int | None = None  # tokens
    manifest: dict[str, Any] | None = None  # Any: the CLI's own form


class Choice(msgspec.Struct, frozen=True):
    """What a model name asks for; None where it does not say."""

    model: Model
    effort: str | None
    mode: Mode | None


class Catalog(msgspec.Struct, frozen=True):
    """Every model that may be named; `default` is the id of the one for requests that name none.

    `aliases` are further names, each with the name that it stands for; `first` are the ids that a list begins with.
    """

    models: tuple[Model, ...]
    default: str
    aliases: Mapping[str, str] = {}
    first: tuple[str, ...] = ()

    def choose(self, name: str | None) -> Choice:
        """Resolve a model name; None and "" are the default. Raises ModelNotFound, naming what exists."""
        wanted = name.strip(" ") if name else self.default
        if (choice := self._read(wanted, self.aliases)) is not None:
            return choice
        known = ", ".join(dict.fromkeys((*self.aliases, *(model.id for model in self.listed()))))
        raise ModelNotFound(
            f"The model {wanted[:100]!r} does not exist. Available models: {known[: _NAMED_AT_MOST * 50]}. "
            "Append a reasoning effort that the model supports, 'chat' or 'agent', as in 'MODEL high chat'.",
            param="model",
        )

    def listed(self, first: str | None = None) -> list[Model]:
        """The models to show, `first` or the default at the head; hidden ones left out unless they are configured."""
        head = dict.fromkeys((first or self.default, self.default, *self.first))
        order = {one: place for place, one in enumerate(head)}
        shown = [model for model in self.models if not model.hidden or model.id in order]
        return sorted(shown, key=lambda model: order.get(model.id, len(order)))

    def names(self, *, efforts: bool = False, first: str | None = None) -> list[tuple[str, Choice]]:
        """The names to list, and what each asks for: of every model the bare one and its chat mode, `efforts` too if wanted.

        Aliases come after the configured models; those that stand for nothing that exists are left out.
        """
        models = self.listed(first)
        own = [model for model in models if model.id in (first, self.default, *self.first)]
        names = [name for model in own for name in _names(model, efforts=efforts)]
        names += self.aliases
        names += [name for model in models if model not in own for name in _names(model, efforts=efforts)]
        return [(name, choice) for name in dict.fromkeys(names) if (choice := self._read(name, self.aliases)) is not None]

    def broken_aliases(self) -> list[str]:
        """Aliases that stand for nothing that exists."""
        return [alias for alias in self.aliases if self._read(alias, self.aliases) is None]

    def _read(self, name: str, aliases: Mapping[str, str]) -> Choice | None:
        bare = name.partition("/")[2] if name.lower().startswith(_PREFIXES) else ""
        for base, words in (*_readings(name), *_readings(bare)):
            found = self._base(base, aliases)
            if found is not None and (choice := _with_words(found, words)) is not None:
                return choice
        return None

    def _base(self, name: str, aliases: Mapping[str, str]) -> Choice | None:
        if (alias := _look_up(name, aliases)) is not None:
            return self._read(alias, {})  # no alias stands for another one
        model = _look_up(name, {model.id: model for model in self.models})
        return None if model is None else Choice(model, None, None)


class Facts(msgspec.Struct, frozen=True):
    """What a freshly started CLI said of itself.

    `provider_local`: its address is on this machine; `provider_url` is None where the configuration tells none. `usable`:
    there is an account, or none is needed. `account` (chatgpt, apiKey …) and `plan` are the CLI's words for it.
    """

    catalog: Catalog
    provider: str
    provider_url: str | None
    provider_local: bool
    usable: bool
    mcp_servers: tuple[str, ...]
    document_names: tuple[str, ...]
    account: str | None = None
    plan: str | None = None


def effort_for(choice: Choice, requested: str | None, server_default: str, place: str) -> str | None:
    """The effort of a turn: the request's, else the name's, else the server's where the model has it, else None (its own).

    Raises InvalidRequest when the request asks for one that the model does not have; `place` is where it does.
    """
    efforts = choice.model.efforts
    if requested is not None:
        if efforts and requested not in efforts:
            raise InvalidRequest(
                f"The model {choice.model.id} has no reasoning effort {requested!r}. It has: {', '.join(efforts)}.",
                param=place,
            )
        return requested
    if choice.effort is not None:
        return choice.effort
    return server_default if server_default in efforts else None


def with_extras(listed: tuple[Model, ...], configured: str | None, extras: tuple[str, ...]) -> tuple[Model, ...]:
    """The CLI's catalogue, and the configured model and CODEX_EXTRA_MODELS where it does not have them."""
    known = {model.id for model in listed}
    added = [name for name in dict.fromkeys((configured, *extras)) if name and name not in known]
    return (*listed, *(Model(name) for name in added))


def _names(model: Model, *, efforts: bool) -> list[str]:
    return [model.id, f"{model.id} chat", *(f"{model.id} {effort}" for effort in model.efforts if efforts)]


def _readings(name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The ways to read a name: (base, the words behind it), the longest base first."""
    words: tuple[str, ...] = ()
    while name and len(words) <= _WORDS_AT_MOST:
        yield name, words
        last = max(map(name.rfind, _SEPARATORS))
        name, words = name[: last + 1].rstrip(_SEPARATORS), (name[last + 1 :].lower(), *words)


def _with_words(found: Choice, words: tuple[str, ...]) -> Choice | None:
    """The choice with what the words add; None when they are no effort of it and no mode, or two of a kind."""
    modes = [_MODES[word] for word in words if word in _MODES]
    efforts = [word for word in words if word in found.model.efforts and word not in _MODES]
    if len(modes) + len(efforts) < len(words) or len(modes) > 1 or len(efforts) > 1:
        return None
    return Choice(found.model, next(iter(efforts), found.effort), next(iter(modes), found.mode))


def _look_up(name: str, known: Mapping[str, _T]) -> _T | None:
    """By its name as it is, else in another case."""
    if name in known:
        return known[name]
    folded = name.casefold()
    return next((found for one, found in known.items() if one.casefold() == folded), None)
