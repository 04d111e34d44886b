"""May this turn be run so: what is over a limit is refused, and what a request leaves out is lowered to it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from codex_proxy.catalog import Catalog, Facts, Model
from codex_proxy.ceilings import SANDBOXES
from codex_proxy.errors import Forbidden, InvalidRequest, ModelNotFound, NotAllowedHere, NotLoggedIn, SandboxNotAllowed
from codex_proxy.history import Image, Message, Text
from codex_proxy.keys import Scope
from codex_proxy.policy import decide
from codex_proxy.settings import Settings
from codex_proxy.turns import Mode, Sandbox, Turn
from codex_proxy.wish import Wish

_READ: Sandbox = "read-only"
_WRITE: Sandbox = "workspace-write"
_DANGER: Sandbox = "danger-full-access"
_ALL = Scope()
_DARING = Settings(allow_danger=True, sandbox_ceiling=_DANGER)
_MODELS = (Model("big-5", ("low", "high"), "high"), Model("small-5", modalities=("text",)))
_FACTS = Facts(Catalog(_MODELS, "big-5"), "p", None, provider_local=True, usable=True, mcp_servers=(), document_names=())
_ELSEWHERE = msgspec.structs.replace(_FACTS, provider_local=False)
_ORDER = (_READ, _WRITE, _DANGER)


# The server's default, its ceiling, whether danger is on, and what a request then gets that asks for nothing, and for each mode.
@pytest.mark.parametrize(
    ("default", "ceiling", "danger", "given"),
    [
        (_READ, _WRITE, False, (_READ, _READ, _WRITE, NotAllowedHere)),
        (_READ, _READ, False, (_READ, _READ, SandboxNotAllowed, NotAllowedHere)),
        (_WRITE, _WRITE, False, (_WRITE, _READ, _WRITE, NotAllowedHere)),
        (_READ, _DANGER, True, (_READ, _READ, _WRITE, _DANGER)),
        (_READ, _WRITE, True, (_READ, _READ, _WRITE, SandboxNotAllowed)),
        (_READ, _READ, True, (_READ, _READ, SandboxNotAllowed, SandboxNotAllowed)),
        (_DANGER, _DANGER, True, (_DANGER, _READ, _WRITE, _DANGER)),
    ],
)
def test_a_request_gets_the_sandbox_that_it_asks_for_or_a_refusal(
    default: Sandbox, ceiling: Sandbox, danger: bool, given: tuple[Sandbox | type[Exception], ...]
) -> None:
    settings = Settings(sandbox=default, sandbox_ceiling=ceiling, allow_danger=danger)
    for asked, expected in zip((None, *_ORDER), given, strict=True):
        if isinstance(expected, str):
            assert _decided(settings, sandbox=asked).sandbox == expected
        else:
            with pytest.raises(expected) as caught:
                _decided(settings, sandbox=asked)
            assert getattr(caught.value, "param", "") == "x_codex.sandbox"


def test_a_refusal_names_what_is_allowed() -> None:
    with pytest.raises(SandboxNotAllowed, match="Allowed: read-only, workspace-write") as caught:
        _decided(_DARING, Scope(sandbox=_WRITE), sandbox=_DANGER)
    assert caught.value.code == "sandbox_not_allowed"


@pytest.mark.parametrize(
    ("default", "ceiling", "asked", "network"),
    [
        (False, True, None, False),
        (False, True, True, True),
        (False, True, False, False),
        (True, True, None, True),
        (True, True, False, False),
        (False, False, None, False),
        (False, False, False, False),
    ],
)
def test_network_is_the_requests_word_within_the_ceiling(default: bool, ceiling: bool, asked: bool | None, network: bool) -> None:
    settings = Settings(sandbox=_WRITE, workspace_network=default, network_ceiling=ceiling)
    assert _decided(settings, network=asked).network is network
    assert not _decided(settings, network=asked, sandbox=_READ).network


@pytest.mark.parametrize(("ceiling", "key"), [(False, True), (True, False)])
def test_network_over_the_ceiling_is_refused(ceiling: bool, key: bool) -> None:
    settings, scope = Settings(sandbox=_WRITE, network_ceiling=ceiling), Scope(network=key)
    with pytest.raises(SandboxNotAllowed) as caught:
        _decided(settings, scope, network=True)
    assert caught.value.param == "x_codex.network_access"
    assert not _decided(settings, scope).network


@pytest.mark.parametrize(("ceiling", "key"), [(False, True), (True, False)])
def test_a_web_search_is_network(ceiling: bool, key: bool) -> None:
    settings, scope = Settings(network_ceiling=ceiling), Scope(network=key)
    with pytest.raises(SandboxNotAllowed) as caught:
        _decided(settings, scope, web_search=True, web_search_place="tools")
    assert caught.value.param == "tools"
    assert _decided(settings, scope).web_search == "disabled"  # whatever Codex's own configuration says
    assert _decided(Settings(), web_search=True).web_search == "live"


def test_a_web_search_follows_what_the_request_says_of_the_network() -> None:
    assert _decided(Settings()).web_search == "configured"
    assert _decided(Settings(), network=True).web_search == "configured"
    assert _decided(Settings(), network=False).web_search == "disabled"
    assert _decided(Settings(), mode="chat").web_search == "disabled"
    with pytest.raises(InvalidRequest) as caught:
        _decided(Settings(), network=False, web_search=True)
    assert caught.value.param == "x_codex.network_access"


@pytest.mark.parametrize("sandbox", [None, _READ, _WRITE, _DANGER])
def test_a_local_only_server_runs_no_turn_on_another_provider(sandbox: Sandbox | None) -> None:
    settings = msgspec.structs.replace(_DARING, local_only=True)
    with pytest.raises(NotAllowedHere):
        _decided(settings, facts=_ELSEWHERE, sandbox=sandbox)
    assert _decided(settings, sandbox=sandbox).sandbox == (sandbox or _READ)


def test_a_server_that_is_not_local_only_runs_turns_on_every_provider() -> None:
    assert _decided(Settings(), facts=_ELSEWHERE) == _decided(Settings())


def test_no_turn_runs_without_a_login() -> None:
    with pytest.raises(NotLoggedIn, match="not logged in"):
        _decided(Settings(), facts=msgspec.structs.replace(_FACTS, usable=False))


def test_an_image_needs_a_model_that_takes_images() -> None:
    picture = (Image("data:image/png;base64,"),)
    assert _decided(Settings(), input=picture).input == picture
    with pytest.raises(InvalidRequest, match="does not accept images"):
        _decided(Settings(), model="small-5", input=picture)


@pytest.mark.parametrize(
    ("asked", "named", "default", "mode"),
    [
        (None, None, "agent", "agent"),
        (None, None, "chat", "chat"),
        (None, "chat", "agent", "chat"),
        (None, "agent", "chat", "agent"),
        ("agent", "chat", "chat", "agent"),
        ("chat", "agent", "agent", "chat"),
    ],
)
def test_the_mode_is_the_requests_else_the_names_else_the_servers(
    asked: Mode | None, named: Mode | None, default: str, mode: Mode
) -> None:
    model = f"big-5 {named}" if named else "big-5"
    assert _decided(Settings(default_mode=default), mode=asked, model=model).mode == mode


@pytest.mark.parametrize(
    ("server_hides", "asked_to_hide", "asked_to_expose", "summary", "raw"),
    [
        (False, None, False, "auto", False),
        (False, False, False, "auto", False),
        (False, True, False, "none", False),
        (True, None, False, "none", False),
        (True, False, True, "none", False),
        (False, True, True, "none", False),
        (False, None, True, "auto", True),
    ],
)
def test_reasoning_is_hidden_when_either_side_hides_it(
    server_hides: bool, asked_to_hide: bool | None, asked_to_expose: bool, summary: str, raw: bool
) -> None:
    turn = _decided(Settings(hide_reasoning=server_hides), hide_reasoning=asked_to_hide, expose_reasoning=asked_to_expose)
    assert (turn.summary, turn.raw_reasoning) == (summary, raw)


def test_what_is_not_for_the_policy_to_decide_passes_through() -> None:
    history = (Message("user", (Text("hi"), Image("data:image/png;base64,"))), Message("assistant", (Text("ho"),)))
    turn = _decided(
        Settings(workdir=Path("/somewhere")),
        history=history,
        input=(Text("go on"),),
        verbosity="low",
        service_tier="flex",
        web_search=True,
        effort="high",
    )
    assert turn == Turn(
        id="turn-1",
        model="big-5",
        effort="high",
        mode="agent",
        sandbox="read-only",
        network=False,
        cwd="/somewhere",
        root="/somewhere",
        history=history,
        input=(Text("go on"),),
        verbosity="low",
        service_tier="flex",
        web_search="live",
    )


def test_a_directory_inside_a_workspace_can_be_chosen_and_is_made_real(tmp_path: Path) -> None:
    settings = _workspaces(tmp_path)
    (tmp_path / "more" / "to_work").symlink_to(tmp_path / "work" / "deep")
    for asked, real in {
        "work": "work",
        "work/": "work",
        "work/deep": "work/deep",
        "work/deep/..": "work",
        "more": "more",
        "more/to_work": "work/deep",
        "outside/../work": "work",
    }.items():
        assert _decided(settings, cwd=f"{tmp_path}/{asked}").cwd == str(tmp_path / real)
    assert _decided(settings).cwd == str(tmp_path / "work")


def test_a_directory_outside_the_workspaces_is_forbidden_in_the_same_words_whether_it_exists(tmp_path: Path) -> None:
    settings = _workspaces(tmp_path)
    (tmp_path / "work" / "way_out").symlink_to(tmp_path / "outside")
    (tmp_path / "work" / "circle").symlink_to(tmp_path / "work" / "circle")
    (tmp_path / "work" / "file").write_text("")
    names = (
        *("outside", "work-twin", "workx", "mor", "", "work/..", "work/../outside", "work/deep/../../outside"),
        *(
            "work/way_out",
            "work/way_out/deep",
            "work/missing",
            "missing",
            "work/file",
            "work/circle",
            "work/\0",
            "work/" + "x" * 300,
        ),
    )
    asked = [*(f"{tmp_path}/{name}" for name in names), "/", "/etc", ".", "..", "work", "~", "", "x" * 5000]
    messages = set()
    for cwd in asked:
        with pytest.raises(Forbidden) as caught:
            _decided(settings, cwd=cwd)
        assert caught.value.param == "x_codex.cwd"
        messages.add(caught.value.message.replace(repr(cwd[:200]), "…"))
    assert messages == {
        "The working directory must be an existing directory in a workspace that you may use here, by its absolute path; "
        f"… is not. Workspaces: {tmp_path}/work, {tmp_path}/more."
    }


def test_a_relative_directory_is_forbidden_even_when_it_leads_into_a_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Forbidden):
        _decided(_workspaces(tmp_path), cwd="work")


@pytest.mark.parametrize("asked", [None, _READ, _WRITE, _DANGER])
@pytest.mark.parametrize("key", _ORDER)
@pytest.mark.parametrize("default", _ORDER)
def test_a_default_over_a_keys_ceiling_is_lowered_and_a_wish_is_refused(
    default: Sandbox, key: Sandbox, asked: Sandbox | None
) -> None:
    settings = msgspec.structs.replace(_DARING, sandbox=default)
    if asked is not None and SANDBOXES.index(asked) > SANDBOXES.index(key):
        with pytest.raises(SandboxNotAllowed) as caught:
            _decided(settings, Scope(sandbox=key), sandbox=asked)
        assert caught.value.param == "x_codex.sandbox"
        return
    expected = asked or min(default, key, key=SANDBOXES.index)
    assert _decided(settings, Scope(sandbox=key), sandbox=asked).sandbox == expected


def test_danger_mode_cannot_be_without_network() -> None:
    for settings, sandbox in ((_DARING, _DANGER), (msgspec.structs.replace(_DARING, sandbox=_DANGER), None)):
        with pytest.raises(NotAllowedHere) as caught:
            _decided(settings, sandbox=sandbox, network=False)
        assert caught.value.param == "x_codex.network_access"


def test_a_key_stays_in_its_workspaces(tmp_path: Path) -> None:
    settings = _workspaces(tmp_path)
    own = Scope(workspaces=(tmp_path / "more", tmp_path / "outside"))
    assert _decided(settings, own).cwd == str(tmp_path / "more")
    assert _decided(settings, own, cwd=str(tmp_path / "more")).cwd == str(tmp_path / "more")
    assert _decided(settings, Scope(workspaces=(tmp_path,))).cwd == str(tmp_path / "work")
    for place in ("work", "work/deep", "outside"):
        with pytest.raises(Forbidden):
            _decided(settings, own, cwd=str(tmp_path / place))


def test_a_key_uses_its_own_models() -> None:
    assert _decided(Settings()).model == "big-5"
    assert _decided(Settings(), Scope(models=("small-5", "big-5"))).model == "big-5"
    assert _decided(Settings(), Scope(models=("small-5",))).model == "small-5"
    with pytest.raises(Forbidden, match="small-5") as caught:
        _decided(Settings(), Scope(models=("small-5",)), model="big-5")
    assert caught.value.param == "model"
    with pytest.raises(ModelNotFound):
        _decided(Settings(), Scope(models=("small-5",)), model="x")


def _workspaces(root: Path) -> Settings:
    """Two workspaces, work and more, beside a directory that is none and one whose name begins like one."""
    for name in ("work/deep", "more", "outside/deep", "work-twin"):
        (root / name).mkdir(parents=True)
    return Settings(workdir=root / "work", workspaces=(root / "more",))


def _wish(**members: Any) -> Wish:  # Any: the members' own types
    return msgspec.structs.replace(Wish(model=None, history=(), input=(Text("hi"),)), **members)


def _decided(settings: Settings, scope: Scope = _ALL, *, facts: Facts = _FACTS, **members: Any) -> Turn:  # Any: as above
    return decide(_wish(**members), facts, settings, scope, "turn-1")
