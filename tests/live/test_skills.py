"""Skills of a project, on the real CLI, which looks for them outside of its sandbox: it shows none of them to the model."""

import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step
from tests.conftest import ProxyStarter
from tests.live.test_conversations import CALLS, SCRIPTS

_SKILL = "---\nname: {0}\ndescription: CANARY described {0}.\n---\nCANARY in {0}\n"
_PROMPTS = (
    *("Use $own, please.", "$linked", "$OWN", "$codexs $swapped", "@own", "[$own]({0}/own/SKILL.md)"),
    *("[@own]({0}/own/SKILL.md)", "[$own](skill://{0}/own/SKILL.md)"),
)


@pytest.fixture
def project(home: Home, environ: dict[str, str]) -> Path:
    """A directory in the workspace with skills: plain ones, and a link to one in a hidden place."""
    environ |= {"CODEX_SANDBOX_MODE": "workspace-write", "CODEX_MAX_PARALLEL_REQUESTS": "1", "PROXY_STORE": "memory"}
    project = home.workdir / "project"
    for place in (project / ".agents/skills/own", project / ".codex/skills/codexs", home.root / ".hidden/linked"):
        place.mkdir(parents=True)
        (place / "SKILL.md").write_text(_SKILL.format(place.name))
    (project / ".agents" / "skills" / "linked").symlink_to(home.root / ".hidden" / "linked")
    return project


async def test_no_prompt_has_the_cli_read_a_file_that_a_project_calls_a_skill(
    start_proxy: ProxyStarter, model: ModelServer, project: Path
) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(("done",))

    model.script = script
    async with start_proxy() as proxy:
        prompts = (one.format(project / ".agents" / "skills") for one in _PROMPTS)
        for prompt, model_name in zip(prompts, itertools.cycle((SCRIPTS, CALLS)), strict=False):
            answer = await proxy.chat(prompt=prompt, model=model_name, x_codex={"cwd": str(project)})
            assert answer.status == 200, await answer.text()
            request = model.requests[-1]
            assert "CANARY" not in json.dumps(request.body), prompt
            assert request.input[-1]["content"] == [{"type": "input_text", "text": prompt}]
