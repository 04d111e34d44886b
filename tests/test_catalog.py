"""What a model name asks for, and which names there are."""

import re

import msgspec
import pytest

from codex_proxy.catalog import Catalog, Choice, Model, effort_for, with_extras
from codex_proxy.errors import InvalidRequest, ModelNotFound

_BIG = Model("big-5", ("low", "medium", "high"), "medium")
_CODEX = Model("big-5-codex", ("medium", "xhigh"), "medium")
_OLD = Model("old-4", ("low",), "low", hidden=True)
_LOCAL = Model("local:8b")  # its efforts are not known
_CATALOG = Catalog((_BIG, _CODEX, _OLD, _LOCAL), "big-5")
_ALIASED = Catalog(
    _CATALOG.models, "big-5", {"gpt-4o": "big-5 chat", "fast": "big-5 low", "old-4": "big-5-codex", "big-5": "big-5 low"}
)


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        (None, Choice(_BIG, None, None)),
        ("", Choice(_BIG, None, None)),
        ("big-5", Choice(_BIG, None, None)),
        ("big-5 high", Choice(_BIG, "high", None)),
        ("big-5 chat", Choice(_BIG, None, "chat")),
        ("big-5 agent", Choice(_BIG, None, "agent")),
        ("big-5 high chat", Choice(_BIG, "high", "chat")),
        ("big-5 chat high", Choice(_BIG, "high", "chat")),
        ("big-5:chat", Choice(_BIG, None, "chat")),
        ("big-5:high:chat", Choice(_BIG, "high", "chat")),
        ("big-5: chat  high ", Choice(_BIG, "high", "chat")),
        ("BIG-5 Chat HIGH", Choice(_BIG, "high", "chat")),
        ("openai/big-5", Choice(_BIG, None, None)),
        ("codex/Big-5:Chat", Choice(_BIG, None, "chat")),
        ("big-5-codex xhigh agent", Choice(_CODEX, "xhigh", "agent")),
        ("old-4 low", Choice(_OLD, "low", None)),
        ("local:8b", Choice(_LOCAL, None, None)),
        ("local:8b chat", Choice(_LOCAL, None, "chat")),
        ("local:8b:chat", Choice(_LOCAL, None, "chat")),
    ],
)
def test_a_name_is_a_model_then_perhaps_an_effort_and_a_mode_in_any_order_and_case(name: str | None, choice: Choice) -> None:
    assert _CATALOG.choose(name) == choice


@pytest.mark.parametrize(
    "name",
    [
        *("big", "big-6", "big-5 xhigh", "big-5 huge", "big-5 high high", "local:8b high", "big-5-chat", "openai/openai/big-5"),
        *("chat", " chat", ":", "high", "big-5 low high", "big-5 chat agent", "big-5 chat chat", "big-5 robot", "other/big-5"),
        *(" ", "\t", "big-5\thigh", "big-5\n", "x" * 10_000, " :" * 10_000, "openai/" * 10_000, "big-5 chat high x", "openai/"),
    ],
)
def test_an_unknown_name_is_refused_and_the_visible_models_are_named(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        _CATALOG.choose(name)
    message = caught.value.message
    assert caught.value.param == "model"
    assert "Available models: big-5, big-5-codex, local:8b. " in message
    assert "old-4" not in message
    assert len(message) < 500


def test_the_message_on_an_unknown_name_stays_short_with_many_models() -> None:
    with pytest.raises(ModelNotFound) as caught:
        Catalog(tuple(Model(f"model-{number}") for number in range(10_000)), "model-0").choose("x")
    assert len(caught.value.message) < 3_000


def test_the_list_is_every_visible_model_and_its_chat_mode() -> None:
    assert [name for name, _ in _CATALOG.names()] == [
        *("big-5", "big-5 chat", "big-5-codex", "big-5-codex chat", "local:8b", "local:8b chat")
    ]


def test_the_list_has_the_efforts_where_they_are_wanted() -> None:
    assert [name for name, _ in _CATALOG.names(efforts=True)] == [
        *("big-5", "big-5 chat", "big-5 low", "big-5 medium", "big-5 high"),
        *("big-5-codex", "big-5-codex chat", "big-5-codex medium", "big-5-codex xhigh", "local:8b", "local:8b chat"),
    ]


def test_every_listed_name_can_be_chosen_and_asks_for_what_the_list_says() -> None:
    for name, choice in _ALIASED.names(efforts=True):
        assert _ALIASED.choose(name) == choice


def test_the_configured_models_come_first_then_the_aliases_then_the_catalogue() -> None:
    catalog = Catalog(with_extras((_BIG, _CODEX, _OLD), "old-4", ("mine",)), "old-4", {"fast": "big-5 low"}, ("mine",))
    assert [name for name, _ in catalog.names()] == [
        *("old-4", "old-4 chat", "mine", "mine chat", "fast", "big-5", "big-5 chat", "big-5-codex", "big-5-codex chat")
    ]
    assert catalog.names(first="big-5-codex")[0] == ("big-5-codex", Choice(_CODEX, None, None))


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("gpt-4o", Choice(_BIG, None, "chat")),
        ("GPT-4o", Choice(_BIG, None, "chat")),
        ("gpt-4o high", Choice(_BIG, "high", "chat")),
        ("openai/gpt-4o", Choice(_BIG, None, "chat")),
        ("fast", Choice(_BIG, "low", None)),
        ("fast chat", Choice(_BIG, "low", "chat")),
        ("fast high", Choice(_BIG, "high", None)),  # what is said last holds
        ("fast agent", Choice(_BIG, "low", "agent")),
        ("old-4", Choice(_CODEX, None, None)),  # an alias wins over a model
        ("big-5", Choice(_BIG, "low", None)),  # also over the one that it stands for
    ],
)
def test_an_alias_is_what_it_stands_for_and_words_can_be_added(name: str, choice: Choice) -> None:
    assert _ALIASED.choose(name) == choice


def test_an_alias_that_stands_for_nothing_is_refused_not_listed_and_known_as_broken() -> None:
    catalog = Catalog((_BIG,), "big-5", {"lost": "gone", "other": "lost"})
    assert catalog.broken_aliases() == ["lost", "other"]
    assert [name for name, _ in catalog.names()] == ["big-5", "big-5 chat"]
    with pytest.raises(ModelNotFound, match="'lost' does not exist"):
        catalog.choose("lost")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("big-5-high", " Did you mean big-5 high?"),
        ("BIG-5_high-chat", " Did you mean BIG-5 high chat?"),
        ("gpt-4o/chat", " Did you mean gpt-4o chat?"),
        ("gpt4o", " Did you mean gpt-4o?"),
        ("other-5", ""),
        ("-", ""),
    ],
)
def test_a_name_spelled_in_another_way_gets_a_suggestion(name: str, meant: str) -> None:
    with pytest.raises(ModelNotFound, match=re.escape(f"The model '{name}' does not exist.{meant} Available models: ")):
        _ALIASED.choose(name)


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
        ("big-5 high", "none", "medium", "low"),  # as little as it can
        ("big-5", "minimal", "medium", "low"),
        ("local:8b", "none", "medium", "none"),
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


@pytest.mark.parametrize(
    ("model", "may"),
    [
        (msgspec.structs.replace(_BIG, manifest={"tool_mode": "code_mode_only"}), True),
        (msgspec.structs.replace(_BIG, manifest={"tool_mode": None}), False),
        (msgspec.structs.replace(_BIG, manifest={}), False),
        (_BIG, True),  # the CLI knows it from its provider only
        (_LOCAL, False),
    ],
)
def test_a_model_may_script_its_tools_by_its_entry_or_without_one(model: Model, may: bool) -> None:
    assert model.may_script is may
