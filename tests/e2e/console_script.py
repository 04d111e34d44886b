"""What the scripted model does on the console's pages: it works, thinks, and says what a page must not take for its own."""

import asyncio
import json
from collections.abc import AsyncIterator

from codex_proxy.demo.steps import Call, Count, ModelRequest, Raw, Say, Step, Think, words

LONG_LINE = "x" * 1_000_000
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"> <script>document.title='owned'</script>\n\n"
    "[press me](javascript:document.title='owned') [or me](data:text/html,owned) [good](https://example.com/a) "
    "**<b onclick=alert(1)>bold</b>**\n\n```html\n<svg onload=\"document.title='owned'\">\n```\n\n"
    '- <iframe src="javascript:alert(1)"></iframe>\n\n\x1b[31mred\x1b[0m \x1b]0;owned\x07 \u202eright to left'
    " \u061cmark می\u200cخواهم **`bold code`**\n\n"
    "אחד, https://example.com/b.\n| name | what |\n|---|---|\n| a \\| b | <img src=x onerror=\"document.title='owned'\"> |\n"
)
PATCH = """*** Begin Patch
*** Update File: greet.py
@@
-def greet():
-    print("hello")
+def greet(name: str) -> None:
+    print(f"Hello, {name}!")
*** Add File: notes.md
+# Notes
+Greets by name now.
*** End Patch
"""
ANSWER = """`greet.py` greets by name now:

- **`greet`** takes the name and has types.
- The tests pass: 12 in 0.4 s.

```python
greet("Ada")
```

What changed is written down in `notes.md`. See https://docs.python.org/3/library/string.html for formats."""


def _run(command: str, name: str, seconds: int = 10) -> Call:
    return Call("exec_command", json.dumps({"cmd": command, "yield_time_ms": seconds * 1000}), f"call_{name}")


async def script(request: ModelRequest) -> AsyncIterator[Step]:
    prompt, step = request.prompt, len(request.outputs)
    if "hostile" in prompt:
        yield Say((HOSTILE,))
    elif "long line" in prompt and not step:
        yield _run("head -c 1000000 /dev/zero | tr '\\0' x", "long")
    elif "sleep" in prompt and not step:
        yield _run("sleep 30", "sleep", 30)
    elif "count" in prompt:
        yield Say(tuple(f"t{number} " for number in range(60)), pace=0.05)
    elif "stream" in prompt:
        yield Say(tuple(f"word{number} " + ("\n\n" if number % 60 == 59 else "") for number in range(10_000)))
    elif "work" in prompt and step < 3:
        for one in _working(step):
            yield one
    else:
        yield Say(words(ANSWER if "work" in prompt else "Hello from the scripted model."), pace=0.005)
        yield Count(input=18_204, cached=16_896, output=412)
    await asyncio.sleep(0)


def _working(step: int) -> tuple[Step, ...]:
    patch = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_patch", "name": "apply_patch", "input": PATCH}
    return (
        (Think(("**Looking at the code**\n\nThe greeting has no name yet.",)), _run("cat greet.py", "cat")),
        (Raw(patch),),
        (_run("printf '12 passed in 0.4s\\n'; ls -l", "test"),),
    )[step]
