"""What a script of a model in code mode can reach that the model itself could not, on the real CLI: nothing.

It runs in a process of the CLI's own, outside of the sandbox.
"""

import base64
import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from codex_proxy.demo import shell
from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import ModelRequest, Say, Step
from tests.conftest import ProxyStarter
from tests.live.test_conversations import SCRIPTS
from tests.support.pictures import PIXEL

_ESCALATED = {"sandbox_permissions": "require_escalated", "justification": "Please."}
_WIDER = {"network": {"enabled": True}, "file_system": {"write": ["/"]}}
# Each must fail. `@` is a directory in which the user has secrets.
_REFUSED = (
    *('await import("node:fs")', 'await import("file://@/secret")', 'await import("data:text/javascript,1")'),
    *(f"{name}.toString()" for name in ("process", "require", "fetch", "Deno", "WebAssembly", "Worker", "XMLHttpRequest")),
    f'await tools.exec_command({{cmd: "id", ...{json.dumps(_ESCALATED)}}})',
    f'await tools.exec_command({{cmd: "id", sandbox_permissions: "with_additional_permissions", additional_permissions: '
    f"{json.dumps(_WIDER)}}})",
    *('await tools.view_image({path: "@/secret.png"})', 'await tools.view_image({path: "secret.png"})'),
    'await tools.apply_patch("*** Begin Patch\\n*** Add File: @/made\\n+x\\n*** End Patch")',
    'await tools.apply_patch("*** Begin Patch\\n*** Add File: ../made\\n+x\\n*** End Patch")',
    # The provider would fetch it, which tells somebody what stands in the address.
    *(f'{name}("https://example.com/?secret")' for name in ("image", "audio")),
    *('image({image_url: "file://@/secret.png"})', 'generatedImage({image_url: "https://example.com/?secret"})'),
    *('await tools.read_mcp_resource({server: "codex", uri: "file://@/secret"})', "await tools.write_stdin({session_id: 1})"),
)
_SHOWN = f"image({json.dumps(PIXEL)})"
_ALLOWED = (  # so that it is not the form of the others that fails
    *(_SHOWN, 'await tools.view_image({path: "own.png"})'),
    'await tools.apply_patch("*** Begin Patch\\n*** Add File: made\\n+x\\n*** End Patch")',
)
_ARGUMENTS = (  # of a command that looks and writes where it may not
    *("{}", '{"with_escalated_permissions": true}', '{"prefix_rule": ["cat"]}', '{"login": false}', '{"workdir": "/"}'),
    *('{"shell": "/bin/sh"}', '{"environment_id": "local"}'),
)


def _script(home: Home) -> str:
    tried = "".join(f"try {{ {attempt}; did.push({json.dumps(attempt)}) }} catch (_) {{}}\n" for attempt in (*_REFUSED, *_ALLOWED))
    look = f"cat {home.codex_home}/secret; touch {home.codex_home}/made {home.root}/made; echo looked"
    commands = "".join(
        f"ran.push((await tools.exec_command({{cmd: {json.dumps(look)}, ...{arguments}}})).output);\n" for arguments in _ARGUMENTS
    )
    whole = f"const did = [], ran = [];\n{tried}if (tools.exec_command) {{ {commands} }}\ntext(JSON.stringify([did, ran]));"
    return whole.replace("@", str(home.codex_home))


@pytest.mark.parametrize("mode", ["agent", "chat"])
async def test_a_script_reaches_no_more_than_its_model(
    start_proxy: ProxyStarter, model: ModelServer, home: Home, environ: dict[str, str], mode: str
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        yield Say(("done",)) if request.outputs else shell.script(_script(home), "call_1")

    model.script, environ["CODEX_SANDBOX_MODE"] = script, "workspace-write"
    (home.codex_home / "secret").write_text("CANARY")
    for picture in (home.codex_home / "secret.png", home.workdir / "own.png"):
        picture.write_bytes(base64.b64decode(PIXEL.partition(",")[2]))
    (home.workdir / "secret.png").symlink_to(home.codex_home / "secret.png")
    async with start_proxy() as proxy:
        assert (await proxy.chat(prompt="go", model=SCRIPTS, x_codex={"mode": mode})).status == 200
    did, ran = msgspec.json.decode(model.requests[-1].outputs[0].partition("Output:\n")[2], type=tuple[list[str], list[str]])
    assert tuple(did) == (_ALLOWED if mode == "agent" else (_SHOWN,))
    assert len(ran) == (len(_ARGUMENTS) if mode == "agent" else 0)
    assert [output for output in ran if "CANARY" in output or "looked" not in output] == []
    assert not (home.root / "made").exists()
    assert not (home.codex_home / "made").exists()
