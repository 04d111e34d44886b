"""The models on offer, and what a model name asks for: "gpt-5.5 high chat" -> model, effort, mode. Pure.

A name is `<model>`, then perhaps an effort that this model has, then perhaps ` chat` or ` agent`.
"""

import msgspec

from codex_proxy.errors import InvalidRequest, ModelNotFound
from codex_proxy.turns import Mode

_MODES: tuple[Mode, ...] = ("chat", "agent")
_NAMED_AT_MOST = 40


class Model(msgspec.Struct, frozen=True):
    """One model. `efforts` is empty where they are not known (CODEX_EXTRA_MODELS, a local provider's model)."""

    id: str
    efforts: tuple[str, ...] = ()
    default_effort: str | None = None
    modalities: tuple[str, ...] = ("text", "image")
    hidden: bool = False
    display_name: str = ""


class Choice(msgspec.Struct, frozen=True):
    """What a model name asks for; None where it does not say."""

    model: Model
    effort: str | None
    mode: Mode | None


class Catalog(msgspec.Struct, frozen=True):
    """Every model that may be named; `default` is the id of the one for requests that name none."""

    models: tuple[Model, ...]
    default: str

    def choose(self, name: str | None) -> Choice:
        """Resolve a model name. Raises ModelNotFound, naming what exists."""
        if name is None:
            return self.choose(self.default)
        by_id = {model.id: model for model in self.models}
        rest, mode = (name, None) if name in by_id else _split_mode(name)
        if rest in by_id:
            return Choice(by_id[rest], None, mode)
        base, _, effort = rest.rpartition(" ")
        if base in by_id and effort in by_id[base].efforts:
            return Choice(by_id[base], effort, mode)
        known = ", ".join(model.id for model in self.models if not model.hidden)
        raise ModelNotFound(
            f"The model {name[:100]!r} does not exist. There are: {known[: _NAMED_AT_MOST * 50]}; each may be followed by an "
            "effort that it supports, and by chat or agent.",
            param="model",
        )

    def names(self) -> list[tuple[str, Model, str | None]]:
        """All names to list: (name, model, effort), hidden models left out."""
        shown = [model for model in self.models if not model.hidden]
        return [
            pair
            for model in shown
            for pair in [(model.id, model, None), *((f"{model.id} {effort}", model, effort) for effort in model.efforts)]
        ]


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


def _split_mode(name: str) -> tuple[str, Mode | None]:
    for mode in _MODES:
        if name.endswith(f" {mode}"):
            return name.removesuffix(f" {mode}"), mode
    return name, None
