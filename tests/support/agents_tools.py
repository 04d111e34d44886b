"""How a scripted model looks at an image or patches a file: by a call of the tool, or in code mode by a script."""

import json

from codex_proxy.demo import shell
from codex_proxy.demo.home import MODEL, Home
from codex_proxy.demo.steps import Call, ModelRequest, Raw, Step


def view(path: object, request: ModelRequest) -> Step:
    call, argument = f"call_{len(request.input)}", json.dumps({"path": str(path)})
    if "view_image" in request.tool_names:
        return Call("view_image", argument, call)
    return shell.script(f"image(await tools.view_image({argument}));", call)


def patch(text: str, request: ModelRequest) -> Step:
    call = f"call_{len(request.input)}"
    if "apply_patch" in request.tool_names:
        return Raw({"type": "custom_tool_call", "name": "apply_patch", "input": text, "id": f"ctc_{call}", "call_id": call})
    return shell.script(f"text(await tools.apply_patch({json.dumps(text)}));", call)


def use_model(home: Home, name: str) -> None:
    """Make this the model of requests that name none."""
    config = home.codex_home / "config.toml"
    before, found, after = config.read_text().partition(f'model = "{MODEL}"')
    assert found
    config.write_text(f'{before}model = "{name}"{after}')
