#!/usr/bin/env python3
"""A stand-in for the Codex CLI, of version 0.163.0, that misbehaves on demand.

It takes one fault from the directory $CODEX_HOME/faults: a file with the name of a step and the name of a fault in it.
Taken, the file is removed; a fault whose name ends in "!" stays. Steps are the methods that it is asked, and `spawned`,
`started` (turn/start is answered), `first_delta`, `last_delta` and `idle` (a turn is over).
The text of an answer is "one two three "; with "wait" as the prompt the turn ends only by an interrupt.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

WORDS = ("one ", "two ", "three ")
GRANDCHILD = "sleep"
REQUESTS = {
    "item/commandExecution/requestApproval": {"decision": "decline"},
    "item/fileChange/requestApproval": {"decision": "decline"},
    "item/permissions/requestApproval": {"permissions": {}},
    "item/tool/requestUserInput": {"answers": {}},
    "mcpServer/elicitation/request": {"action": "decline"},
    "applyPatchApproval": {"decision": "abort"},
    "execCommandApproval": {"decision": "abort"},
    "currentTime/read": None,
    "attestation/generate": None,
    "account/chatgptAuthTokens/refresh": None,
    "of/a/version/to/come": None,
}
_HOME = Path(os.environ.get("CODEX_HOME", "/nowhere"))
_out = sys.stdout.buffer
_put_off: deque[dict[str, Any]] = deque()


def say(line: dict[str, Any] | bytes) -> None:
    _out.write(line if isinstance(line, bytes) else json.dumps(line).encode())
    _out.write(b"\n")
    _out.flush()


def hear() -> dict[str, Any]:
    """The next line, or the oldest of those that came at a bad time."""
    return _put_off.popleft() if _put_off else hear_next()


def hear_next() -> dict[str, Any]:
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(0)
    heard: dict[str, Any] = json.loads(line)
    return heard


class Fault:
    """What can go wrong. A fault that returns lets the conversation go on; `number` is the request to be answered, if any."""

    def __init__(self, number: int | None) -> None:
        self.number = number

    def exits_1(self) -> NoReturn:
        print("secret-looking last words: /home/someone https://provider.example", file=sys.stderr, flush=True)
        os._exit(1)

    def exits_0(self) -> NoReturn:
        os._exit(0)

    def is_killed(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def is_stopped(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def closes_stdout(self) -> None:
        os.close(1)
        time.sleep(300)

    def sends_half_a_line(self) -> None:
        _out.write(b'{"method": "item/started", "par')
        _out.flush()
        time.sleep(300)

    def never_answers(self) -> None:
        sys.stdin.buffer.read()
        sys.exit(0)

    def answers_somebody_else(self) -> None:
        say({"id": 4711, "result": {}})
        self.never_answers()

    def sends_invalid_utf8(self) -> None:
        say(b'{"method": "item/agentMessage/delta", "params": {"itemId": "\xff\xfe"}}')
        say(b'{"method": "\xff\xfe"}')
        self.never_answers()

    def sends_33_mib(self) -> None:
        say(b'{"method": "warning", "params": "' + b"x" * 33 * 1024 * 1024 + b'"}')
        self.never_answers()

    def sends_no_object(self) -> None:
        say(b"[1, 2]")
        self.never_answers()

    def sends_no_json(self) -> None:
        say(b"thread 'main' panicked at src/main.rs")
        self.never_answers()

    def refuses(self) -> None:
        say({"id": self.number, "error": {"code": -32603, "message": "no, in /home/someone"}})
        self.never_answers()

    def answers_in_an_unknown_form(self) -> None:
        say({"id": self.number, "result": [None]})
        self.never_answers()

    def leaves_a_child_in_the_group(self) -> None:
        subprocess.Popen([GRANDCHILD, grandchild_time(_HOME)])
        self.exits_1()

    def leaves_a_daemon(self) -> None:
        subprocess.run(["sh", "-c", f"setsid {GRANDCHILD} {grandchild_time(_HOME)} & exit"], check=True)
        self.exits_1()

    def leaves_a_daemon_and_stops(self) -> None:
        subprocess.run(["sh", "-c", f"setsid {GRANDCHILD} {grandchild_time(_HOME)} & exit"], check=True)
        self.is_stopped()

    # From here on they are no faults, and the turn is to go on as if nothing had been.

    def floods_stdout(self) -> None:
        for _ in range(20_000):
            _out.write(b'{"method": "of/a/version/to/come", "params": {"x": "' + b"y" * 100 + b'"}}\n')

    def floods_stderr(self) -> None:
        for _ in range(100):
            sys.stderr.write("x" * 100_000 + "\n")

    def answers_twice(self) -> None:
        say({"id": 1, "result": {}})
        say({"id": "1", "result": None})
        say({"id": None, "error": {"code": 1, "message": "nobody's"}})
        say({})

    def asks_everything(self) -> None:
        """Every request must be answered at once, and declined."""
        for number, (method, declined) in enumerate(REQUESTS.items(), 1):
            say({"id": number, "method": method, "params": {}})
            while "method" in (answer := hear_next()):
                _put_off.append(answer)
            if answer["id"] != number or answer.get("result") != declined or ("error" in answer) != (declined is None):
                self.exits_1()


ALL = tuple(name for name in vars(Fault) if not name.startswith("_"))


def fault(step: str, number: int | None = None) -> None:
    """Do what the test has asked for at this step."""
    path = _HOME / "faults" / step.replace("/", "-")
    try:
        name = path.read_text()
    except OSError:
        return
    if not name.endswith("!"):
        path.unlink()
    getattr(Fault(number), name.rstrip("!"))()


def grandchild_time(home: Path) -> str:
    """The seconds that a grandchild sleeps: a number that nobody else uses, so that it can be found."""
    return f"300.{int.from_bytes(str(home).encode()) % 10**9:09}"


class AppServer:
    """The conversation, one request after the other."""

    def __init__(self) -> None:
        self._threads = 0
        self._answers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "initialize": lambda _: {"userAgent": "codex/0.163.0", "codexHome": str(_HOME)},
            "config/read": lambda _: {"config": {"model": "gpt-5.5", "model_provider": "x", "model_providers": {}}},
            "account/read": lambda _: {"account": None, "requiresOpenaiAuth": False},
            "model/list": lambda _: {"data": [self._model("gpt-5.5"), self._model("gpt-5.4")], "nextCursor": None},
            "command/exec": lambda _: {"exitCode": 0, "stdout": "ran\n", "stderr": ""},
            "thread/start": self._start_thread,
            "thread/loaded/list": lambda _: {"data": [], "nextCursor": None},
            "thread/inject_items": lambda _: {},
            "turn/start": lambda _: {"turn": {"id": "turn", "status": "inProgress", "items": []}},
            "turn/interrupt": lambda _: {},
        }

    def run(self) -> None:
        while True:
            line = hear()
            method, number = line["method"], line.get("id")
            fault(method, number)
            if number is not None:
                say({"id": number, "result": self._answers[method](line["params"])})
            if method == "turn/start":
                self._turn(line["params"])

    def _turn(self, params: dict[str, Any]) -> None:
        where = {"threadId": params["threadId"], "turnId": "turn"}
        item = {"type": "agentMessage", "id": "message", "text": "", "phase": "final_answer"}
        fault("started")
        say({"method": "item/started", "params": where | {"item": item}})
        for word in WORDS:
            say({"method": "item/agentMessage/delta", "params": where | {"itemId": "message", "delta": word}})
            if word == WORDS[0]:
                fault("first_delta")
        status = "completed"
        if params["input"] and params["input"][0]["text"] == "wait":
            interrupt = hear()
            fault("turn/interrupt", interrupt["id"])
            say({"id": interrupt["id"], "result": {}})
            status = "interrupted"
        fault("last_delta")
        say({"method": "item/completed", "params": where | {"item": item | {"text": "".join(WORDS)}}})
        say({"method": "turn/completed", "params": where | {"turn": {"id": "turn", "status": status, "items": []}}})
        fault("idle")

    def _start_thread(self, params: dict[str, Any]) -> Any:
        self._threads += 1
        profile = {"id": params.get("config", {}).get("default_permissions")}
        return {"thread": {"id": f"thread-{self._threads}"}, "modelProvider": "x", "activePermissionProfile": profile}

    @staticmethod
    def _model(name: str) -> dict[str, Any]:
        efforts = [{"reasoningEffort": "medium"}]
        return {"id": name, "model": name, "isDefault": True, "displayName": name, "supportedReasoningEfforts": efforts}


def main(arguments: list[str]) -> None:
    """Be the command line of the CLI."""
    if arguments == ["--version"]:
        print("codex-cli 0.163.0")
    elif arguments == ["features", "list"]:
        print("shell_tool  stable  true")
    elif arguments[0] == "app-server":
        fault("spawned")
        AppServer().run()


if __name__ == "__main__":
    main(sys.argv[1:])
