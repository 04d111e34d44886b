"""May this turn be run so: what a request asks for only narrows what the server allows."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from codex_proxy.errors import Forbidden, NotAllowedHere
from codex_proxy.keys import Scope
from codex_proxy.policy import Named, decide, model_name
from codex_proxy.settings import SANDBOXES, Settings
from codex_proxy.turns import Image, Message, Mode, Sandbox, Text, Turn, Wish

_READ: Sandbox = "read-only"
_WRITE: Sandbox = "workspace-write"
_DANGER: Sandbox = "danger-full-access"
_NAMED = Named("big-5", "high", None)
_ALL = Scope()


# What the server is set to, and what a request then gets that asks for nothing, read-only, workspace-write, danger.
@pytest.mark.parametrize(
    ("configured", "allow_danger", "effective"),
    [
        (_READ, False, (_READ, _READ, _READ, None)),
        (_WRITE, False, (_WRITE, _READ, _WRITE, None)),
        (_READ, True, (_READ, _READ, _WRITE, _DANGER)),
        (_WRITE, True, (_WRITE, _READ, _WRITE, _DANGER)),
        (_DANGER, True, (_DANGER, _READ, _WRITE, _DANGER)),
    ],
)
def test_the_sandbox_is_the_lower_of_what_is_asked_for_and_what_is_allowed(
    configured: Sandbox, allow_danger: bool, effective: tuple[Sandbox | None, ...]
) -> None:
    settings = Settings(sandbox=configured, allow_danger=allow_danger)
    for asked, expected in zip((None, _READ, _WRITE, _DANGER), effective, strict=True):
        if expected is None:
            with pytest.raises(NotAllowedHere) as caught:
                _decided(settings, sandbox=asked)
            assert caught.value.param == "x_codex.sandbox"
        else:
            assert _decided(settings, sandbox=asked).sandbox == expected


def test_no_request_gets_over_the_configured_sandbox_without_the_permission_for_danger() -> None:
    for configured in (_READ, _WRITE):
        for asked in (None, _READ, _WRITE):
            effective = _decided(Settings(sandbox=configured), sandbox=asked).sandbox
            assert SANDBOXES.index(effective) <= SANDBOXES.index(configured)


@pytest.mark.parametrize(
    ("sandbox", "allowed", "asked", "network"),
    [
        (_WRITE, True, None, True),
        (_WRITE, True, True, True),
        (_WRITE, True, False, False),
        (_WRITE, False, None, False),
        (_WRITE, False, True, False),
        (_WRITE, False, False, False),
        (_READ, True, None, False),
        (_READ, True, True, False),
        (_DANGER, True, True, False),  # it has all of it anyway: the member speaks of workspace-write
    ],
)
def test_network_needs_workspace_write_and_the_servers_permission(
    sandbox: Sandbox, allowed: bool, asked: bool | None, network: bool
) -> None:
    settings = Settings(sandbox=sandbox, workspace_network=allowed, allow_danger=True)
    assert _decided(settings, network=asked).network is network


def test_a_request_that_lowers_the_sandbox_loses_the_network_with_it() -> None:
    turn = _decided(Settings(sandbox=_WRITE, workspace_network=True), sandbox=_READ, network=True)
    assert (turn.sandbox, turn.network) == (_READ, False)


@pytest.mark.parametrize("sandbox", [None, _READ, _WRITE, _DANGER])
def test_a_local_only_server_runs_no_turn_on_another_provider(sandbox: Sandbox | None) -> None:
    settings = Settings(local_only=True, allow_danger=True)
    with pytest.raises(NotAllowedHere):
        _decided(settings, provider_local=False, sandbox=sandbox)
    assert _decided(settings, provider_local=True, sandbox=sandbox).sandbox == (sandbox or _READ)


def test_a_server_that_is_not_local_only_runs_turns_on_every_provider() -> None:
    assert _decided(Settings(), provider_local=False) == _decided(Settings(), provider_local=True)


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
    turn = decide(
        _wish(mode=asked), Named("m", None, named), Settings(default_mode=default), Scope(), provider_local=True, turn_id="t"
    )
    assert turn.mode == mode


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
    )
    assert turn == Turn(
        id="turn-1",
        model="big-5",
        effort="high",
        mode="agent",
        sandbox="read-only",
        network=False,
        cwd="/somewhere",
        history=history,
        input=(Text("go on"),),
        verbosity="low",
        service_tier="flex",
        web_search=True,
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
        messages.add(caught.value.message)
    assert len(messages) == 1


def test_a_relative_directory_is_forbidden_even_when_it_leads_into_a_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Forbidden):
        _decided(_workspaces(tmp_path), cwd="work")


@pytest.mark.parametrize("asked", [None, _READ, _WRITE, _DANGER])
@pytest.mark.parametrize("key", [_READ, _WRITE, _DANGER])
@pytest.mark.parametrize(
    ("configured", "allow_danger"), [(_READ, False), (_WRITE, False), (_READ, True), (_WRITE, True), (_DANGER, True)]
)
def test_the_sandbox_is_the_least_of_server_key_and_request(
    configured: Sandbox, allow_danger: bool, key: Sandbox, asked: Sandbox | None
) -> None:
    settings = Settings(sandbox=configured, allow_danger=allow_danger)
    if asked == _DANGER and not (allow_danger and key == _DANGER):
        with pytest.raises(NotAllowedHere if not allow_danger else Forbidden) as caught:
            _decided(settings, Scope(sandbox=key), sandbox=asked)
        assert caught.value.param == "x_codex.sandbox"
        return
    effective = SANDBOXES.index(_decided(settings, Scope(sandbox=key), sandbox=asked).sandbox)
    server = SANDBOXES.index(_decided(settings, sandbox=asked).sandbox)
    assert effective == min(server, SANDBOXES.index(key))


def test_a_key_without_network_has_none() -> None:
    settings = Settings(sandbox=_WRITE, workspace_network=True)
    assert _decided(settings).network
    assert not _decided(settings, Scope(network=False), network=True).network


def test_danger_mode_cannot_be_without_network() -> None:
    for settings, sandbox in ((Settings(allow_danger=True), _DANGER), (Settings(allow_danger=True, sandbox=_DANGER), None)):
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
    assert model_name(_wish(), "big-5", Scope()) == "big-5"
    assert model_name(_wish(), "big-5", Scope(models=("small-5", "big-5"))) == "big-5"
    assert model_name(_wish(), "big-5", Scope(models=("small-5",))) == "small-5"
    assert model_name(_wish(model="x"), "big-5", Scope(models=("small-5",))) == "x"
    assert _decided(Settings(), Scope(models=("big-5",))).model == "big-5"
    with pytest.raises(Forbidden, match="small-5") as caught:
        _decided(Settings(), Scope(models=("small-5",)))
    assert caught.value.param == "model"


def _workspaces(root: Path) -> Settings:
    """Two workspaces, work and more, beside a directory that is none and one whose name begins like one."""
    for name in ("work/deep", "more", "outside/deep", "work-twin"):
        (root / name).mkdir(parents=True)
    return Settings(workdir=root / "work", workspaces=(root / "more",))


def _wish(**members: Any) -> Wish:  # Any: the members' own types
    return msgspec.structs.replace(Wish(model=None, history=(), input=(Text("hi"),)), **members)


def _decided(settings: Settings, scope: Scope = _ALL, *, provider_local: bool = True, **members: Any) -> Turn:  # Any: as above
    return decide(_wish(**members), _NAMED, settings, scope, provider_local=provider_local, turn_id="turn-1")
