"""The available models, and parsing of model names: "gpt-5.5 high chat" -> model, effort, mode. Pure.

A name is a model's id or an alias, optionally followed by an effort that the model supports and a mode, in any order, separated
by spaces or colons; case does not matter. A name that is an id as a whole always means that model.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from codex_proxy.errors import InvalidRequest, ModelNotFound
from codex_proxy.near_misses import did_you_mean
from codex_proxy.turns import Mode

_T = TypeVar("_T")
_MODES: dict[str, Mode] = {"chat": "chat", "agent": "agent"}
_SEPARATORS = " :"
_WORDS_AT_MOST = 2  # an effort and a mode
_LITTLE = ("none", "minimal")  # efforts below those of most models
_PREFIXES = ("openai/", "codex/")  # some clients prefix the provider's name
_NAMED_AT_MOST = 40
_NO_SEPARATORS = "-_/"  # that some clients use as such
_NEAR = 0.87


class Model(msgspec.Struct, frozen=True):
    """A model. `efforts` is empty where they are unknown (CODEX_EXTRA_MODELS, a local provider's model).

    `manifest` is the CLI's own entry for the model, for clients that are Codex CLIs; None if the CLI has none.
    """

    id: str
    efforts: tuple[str, ...] = ()
    default_effort: str | None = None
    modalities: tuple[str, ...] = ("text", "image")
    hidden: bool = False
    display_name: str = ""
    context_length: int | None = None  # tokens
    manifest: dict[str, Any] | None = None  # Any: the CLI's own format

    @property
    def may_script(self) -> bool:
        """Whether the CLI may offer its tools to the model in code mode: in a language to call them in, not one by one."""
        if self.manifest is None:
            return bool(self.efforts)  # newer than the CLI
        return str(self.manifest.get("tool_mode")).startswith("code_mode")


class Choice(msgspec.Struct, frozen=True):
    """What a model name asks for; None for what it does not specify."""

    model: Model
    effort: str | None
    mode: Mode | None


class Catalog(msgspec.Struct, frozen=True):
    """All models that a request may name; `default` is the id of the model for requests that name none.

    `aliases` maps further names to the names that they stand for; `first` are the ids at the head of a list.
    """

    models: tuple[Model, ...]
    default: str
    aliases: Mapping[str, str] = {}
    first: tuple[str, ...] = ()

    def choose(self, name: str | None) -> Choice:
        """Resolve a model name; None and "" mean the default. Raises ModelNotFound, whose message lists the models."""
        wanted = name.strip(" ") if name else self.default
        if (choice := self._read(wanted, self.aliases)) is not None:
            return choice
        known = ", ".join(dict.fromkeys((*self.aliases, *(model.id for model in self.listed()))))
        raise ModelNotFound(
            f"The model {wanted[:100]!r} does not exist.{self._meant(wanted[:100])} "
            f"Available models: {known[: _NAMED_AT_MOST * 50]}. "
            "Append a reasoning effort that the model supports, 'chat' or 'agent', as in 'MODEL high chat'.",
            param="model",
        )

    def _meant(self, wanted: str) -> str:
        """Suggest the name with its words parted by spaces, as in gpt-5.5-high, else a model with a similar name."""
        spaced = wanted
        for _ in range(_WORDS_AT_MOST):
            before, separator, word = spaced.rpartition(max(_NO_SEPARATORS, key=spaced.rfind))
            spaced = f"{before} {word}" if separator else spaced
            if spaced != wanted and self._read(spaced, self.aliases) is not None:
                return f" Did you mean {spaced}?"
        near = [*list(self.aliases)[:_NAMED_AT_MOST], *(model.id for model in self.listed()[:_NAMED_AT_MOST])]
        return did_you_mean(wanted, near, cutoff=_NEAR)

    def listed(self, first: str | None = None) -> list[Model]:
        """The models to show, starting with `first` or the default; hidden models are left out unless they are configured."""
        head = dict.fromkeys((first or self.default, self.default, *self.first))
        order = {one: place for place, one in enumerate(head)}
        shown = [model for model in self.models if not model.hidden or model.id in order]
        return sorted(shown, key=lambda model: order.get(model.id, len(order)))

    def names(self, *, efforts: bool = False, first: str | None = None) -> list[tuple[str, Choice]]:
        """The names to list and what each asks for: for every model, its id and its chat mode, and with `efforts` each effort.

        Aliases come after the configured models; broken ones are left out.
        """
        models = self.listed(first)
        own = [model for model in models if model.id in (first, self.default, *self.first)]
        names = [name for model in own for name in _names(model, efforts=efforts)]
        names += self.aliases
        names += [name for model in models if model not in own for name in _names(model, efforts=efforts)]
        return [(name, choice) for name in dict.fromkeys(names) if (choice := self._read(name, self.aliases)) is not None]

    def broken_aliases(self) -> list[str]:
        """Aliases that do not resolve to a model."""
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
            return self._read(alias, {})  # an alias cannot stand for another alias
        model = _look_up(name, {model.id: model for model in self.models})
        return None if model is None else Choice(model, None, None)


class Facts(msgspec.Struct, frozen=True):
    """What a freshly started CLI reported about itself.

    `provider_local`: the provider is on this machine; `provider_url` is None if the configuration has none. `usable`: there is an
    account, or none is needed. `account` (chatgpt, apiKey …) and `plan` are the CLI's names for the account's type and plan.
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
    """The effort of a turn: from the request, else the model name, else the server if the model supports it, else None.

    None means the model's own default. A request for less than the model can do gets the least that it can: SDKs send none or
    minimal by the model's name, unasked. Raises InvalidRequest for another effort that the model does not support; `place` is
    the request member that asks for it.
    """
    efforts = choice.model.efforts
    if requested is not None:
        if efforts and requested in _LITTLE and requested not in efforts:
            return efforts[0]  # the lowest comes first
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
    """The CLI's models, plus the configured model and CODEX_EXTRA_MODELS where they are missing."""
    known = {model.id for model in listed}
    added = [name for name in dict.fromkeys((configured, *extras)) if name and name not in known]
    return (*listed, *(Model(name) for name in added))


def _names(model: Model, *, efforts: bool) -> list[str]:
    return [model.id, f"{model.id} chat", *(f"{model.id} {effort}" for effort in model.efforts if efforts)]


def _readings(name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The possible readings of a name: (base, the words after it), the longest base first."""
    words: tuple[str, ...] = ()
    while name and len(words) <= _WORDS_AT_MOST:
        yield name, words
        last = max(map(name.rfind, _SEPARATORS))
        name, words = name[: last + 1].rstrip(_SEPARATORS), (name[last + 1 :].lower(), *words)


def _with_words(found: Choice, words: tuple[str, ...]) -> Choice | None:
    """The choice with the words applied; None unless they are at most one effort of the model and one mode."""
    modes = [_MODES[word] for word in words if word in _MODES]
    efforts = [word for word in words if word in found.model.efforts and word not in _MODES]
    if len(modes) + len(efforts) < len(words) or len(modes) > 1 or len(efforts) > 1:
        return None
    return Choice(found.model, next(iter(efforts), found.effort), next(iter(modes), found.mode))


def _look_up(name: str, known: Mapping[str, _T]) -> _T | None:
    """Look up a name exactly, else ignoring case."""
    if name in known:
        return known[name]
    folded = name.casefold()
    return next((found for one, found in known.items() if one.casefold() == folded), None)
