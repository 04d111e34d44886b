"""Dockerfile, .dockerignore and compose.yaml, read without an engine; test_image.py builds the image."""

import json
import re
import shlex
from typing import Any

import pytest
import yaml

from codex_proxy.settings import Settings
from tests.packaging.conftest import ROOT

_BUILD = {"ARG", "COPY", "FROM", "RUN", "WORKDIR"}
_RUN = {"CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "USER", "VOLUME"}
_GRACE = 30  # seconds that a stop takes beside the drain


@pytest.fixture
def dockerfile() -> list[tuple[str, str]]:
    """Instructions and what follows them, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.partition(" ") for line in text.splitlines() if line.strip()]
    assert {name for name, _, _ in lines} <= _BUILD | _RUN
    return [(name, rest.strip()) for name, _, rest in lines]


@pytest.fixture
def service() -> dict[str, Any]:  # Any: of YAML
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert set(composed) == {"services", "volumes"}
    (only,) = composed["services"].values()
    assert isinstance(only, dict)
    return only


def _all(dockerfile: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for instruction, rest in dockerfile if instruction == name]


def test_the_context_holds_what_the_image_copies_and_no_more(dockerfile: list[tuple[str, str]]) -> None:
    ignored, *let_through = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored == "*"
    context = {line.removeprefix("!") for line in let_through if line.startswith("!")}
    copies = [shlex.split(rest) for rest in _all(dockerfile, "COPY") if not rest.startswith("--from")]
    assert {source for *sources, _ in copies for source in sources} == context
    assert [name for name in context if not (ROOT / name).exists()] == []


def test_the_image_runs_as_a_user_and_asks_after_its_health(dockerfile: list[tuple[str, str]]) -> None:
    assert _all(dockerfile, "USER") == ["codex"]
    assert (_all(dockerfile, "EXPOSE"), _all(dockerfile, "STOPSIGNAL")) == (["8000"], ["SIGTERM"])
    assert _all(dockerfile, "FROM") == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    (health,) = _all(dockerfile, "HEALTHCHECK")
    python, flag, program = json.loads(health.partition("CMD ")[2])
    assert (python, flag) == ("python3", "-c")
    assert "/health" in program
    compile(program, "HEALTHCHECK", "exec")


def test_compose_is_for_this_machine_only_and_demands_a_key(service: dict[str, Any]) -> None:
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert service["env_file"] == ".env"
    assert service["environment"]["PROXY_API_KEY"].startswith("${PROXY_API_KEY:?")
    assert "init" not in service  # whose environment could be read
    assert "privileged" not in service
    assert "no-new-privileges" in service["security_opt"]
    assert service["cap_drop"] == ["ALL"]


def test_compose_mounts_all_that_the_image_keeps(dockerfile: list[tuple[str, str]], service: dict[str, Any]) -> None:
    (kept,) = map(json.loads, _all(dockerfile, "VOLUME"))
    mounted = [one["target"] if isinstance(one, dict) else one.rpartition(":")[2] for one in service["volumes"]]
    assert sorted(mounted) == sorted(kept)


def test_compose_waits_for_the_drain(service: dict[str, Any]) -> None:
    assert service["stop_grace_period"] == f"{Settings().drain_seconds + _GRACE:.0f}s"
