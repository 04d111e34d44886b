"""What a model name asks for, and which names there are."""

import pytest

from codex_proxy.catalog import Catalog, Choice, Model, effort_for, with_extras
from codex_proxy.errors import InvalidRequest, ModelNotFound

_BIG = Model("big-5", ("low", "medium", "high"), "medium")
_CODEX = Model("big-5-codex", ("medium", "xhigh"), "medium")
_OLD = Model("old-4", ("low",), "low", hidden=True)
_LOCAL = Model("local:8b")  # its efforts are not known
_CATALOG = Catalog((_BIG, _CODEX, _OLD, _LOCAL), "big-5")


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        (None, Choice(_BIG, None, None)),
        ("big-5", Choice(_BIG, None, None)),
        ("big-5 high", Choice(_BIG, "high", None)),
        ("big-5 chat", Choice(_BIG, None, "chat")),
        ("big-5 agent", Choice(_BIG, None, "agent")),
        ("big-5 high chat", Choice(_BIG, "high", "chat")),
        ("big-5-codex xhigh agent", Choice(_CODEX, "xhigh", "agent")),
        ("old-4 low", Choice(_OLD, "low", None)),
        ("local:8b", Choice(_LOCAL, None, None)),
        ("local:8b chat", Choice(_LOCAL, None, "chat")),
    ],
)
def test_a_name_is_a_model_then_perhaps_an_effort_then_perhaps_a_mode(name: str | None, choice: Choice) -> None:
    assert _CATALOG.choose(name) == choice


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "big", "big-6", "BIG-5", " big-5", "big-5 "),
        *("big-5 xhigh", "big-5 huge", "big-5  high", "big-5 high high", "big-5 HIGH", "local:8b high"),
        *("chat", " chat", "high", "big-5 chat high", "big-5 chat agent", "big-5 chat chat", "big-5 robot", "big-5\thigh"),
        "x" * 10_000,
    ],
)
def test_an_unknown_name_is_refused_and_the_visible_models_are_named(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        _CATALOG.choose(name)
    message = caught.value.message
    assert caught.value.param == "model"
    assert "big-5, big-5-codex, local:8b;" in message
    assert "old-4" not in message
    assert len(message) < 500


def test_the_message_on_an_unknown_name_stays_short_with_many_models() -> None:
    with pytest.raises(ModelNotFound) as caught:
        Catalog(tuple(Model(f"model-{number}") for number in range(10_000)), "model-0").choose("x")
    assert len(caught.value.message) < 3_000


def test_the_names_on_offer_are_every_visible_model_and_each_of_its_efforts() -> None:
    assert _CATALOG.names() == [
        ("big-5", _BIG, None),
        ("big-5 low", _BIG, "low"),
        ("big-5 medium", _BIG, "medium"),
        ("big-5 high", _BIG, "high"),
        ("big-5-codex", _CODEX, None),
        ("big-5-codex medium", _CODEX, "medium"),
        ("big-5-codex xhigh", _CODEX, "xhigh"),
        ("local:8b", _LOCAL, None),
    ]


def test_every_name_on_offer_can_be_chosen() -> None:
    assert [_CATALOG.choose(name) for name, _, _ in _CATALOG.names()] == [
        Choice(model, effort, None) for _, model, effort in _CATALOG.names()
    ]


@pytest.mark.parametrize("name", ["our chat", "our agent"])
def test_a_model_whose_own_name_ends_like_a_mode_can_be_chosen(name: str) -> None:
    catalog = Catalog(with_extras((_BIG,), None, (name,)), "big-5")
    assert catalog.choose(name) == Choice(Model(name), None, None)


def test_a_model_whose_own_name_ends_like_an_effort_wins_over_the_effort() -> None:
    named_high = Model("big-5 high")
    assert Catalog((_BIG, named_high), "big-5").choose("big-5 high") == Choice(named_high, None, None)


@pytest.mark.parametrize(
    ("name", "requested", "server_default", "effort"),
    [
        ("big-5", None, "medium", "medium"),
        ("big-5", None, "xhigh", None),  # the model has no such effort: its own default
        ("big-5 low", None, "medium", "low"),
        ("big-5 low", "high", "medium", "high"),
        ("big-5", "low", "medium", "low"),
        ("local:8b", None, "medium", None),
        ("local:8b", "ultra", "medium", "ultra"),  # nobody knows its efforts: its provider decides
    ],
)
def test_the_effort_is_the_requests_else_the_names_else_the_servers_where_the_model_has_it(
    name: str, requested: str | None, server_default: str, effort: str | None
) -> None:
    assert effort_for(_CATALOG.choose(name), requested, server_default, "reasoning_effort") == effort


def test_an_effort_that_the_model_lacks_is_refused_and_those_it_has_are_named() -> None:
    with pytest.raises(InvalidRequest, match="low, medium, high") as caught:
        effort_for(_CATALOG.choose("big-5"), "xhigh", "medium", "reasoning.effort")
    assert caught.value.param == "reasoning.effort"


def test_extras_are_added_once_and_never_replace_what_the_cli_lists() -> None:
    models = with_extras((_BIG, _OLD), "configured", ("extra", "big-5", "configured", "extra", ""))
    assert models == (_BIG, _OLD, Model("configured"), Model("extra"))
    assert with_extras((_BIG,), None, ()) == (_BIG,)
    assert with_extras((_BIG,), "big-5", ()) == (_BIG,)
