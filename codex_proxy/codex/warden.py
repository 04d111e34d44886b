"""The warden: a small process between us and the CLI, so that nothing which the CLI has started outlives it. Linux only.

It adopts what the commands of its CLI orphan (PR_SET_CHILD_SUBREAPER), also what has left the process group by setsid, and
kills all of it when the CLI ends, when SIGUSR1 asks for it, or when we die in whatever way. So it is known whose an orphan
is, and turns of other workers are not harmed. It runs as a script without site-packages: it imports nothing of ours.
"""

import contextlib
import ctypes  # what it imports is what it costs: no pathlib, no typing
import os
import signal
import sys
from collections.abc import Sequence

END_ALL = signal.SIGUSR1
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_OOM_SCORE = "/proc/self/oom_score_adj"  # what the kernel adds when it looks for somebody to kill for want of memory
_MORE_BADNESS, _MOST_BADNESS = 500, 1000  # of oom_score_adj: in thousandths of all memory
_NOT_FOUND = 127  # as a shell has it
_OFF_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)  # which the CLI must not inherit


class _AskedToEnd(Exception):
    pass


def argv(of: Sequence[str]) -> list[str]:
    """The command line of a CLI under a warden; `of` is its own. Elsewhere than on Linux there is none."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *of] if sys.platform == "linux" else [*of]


def main(parent: int, command: list[str]) -> int:
    """Keep one CLI to its end. Returns its exit code, as a shell has it."""
    status = int(signal.SIGKILL)
    try:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the CLI; it comes to the whole group
            signal.signal(END_ALL, _end)
            _adopt_orphans_and_hear_of_the_end_of(parent)
            status = _run(command)
        finally:
            signal.signal(END_ALL, signal.SIG_IGN)
    except OSError as error:
        print(f"{command[0]} could not be run: {error}", file=sys.stderr)
        return _NOT_FOUND
    except _AskedToEnd:
        pass
    _kill_all()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _run(command: list[str]) -> int:
    before = _oom_score()
    _set_oom_score(min(before + _MORE_BADNESS, _MOST_BADNESS))  # what we start has it too: it is killed before the server
    cli = os.posix_spawn(command[0], command, os.environb, setsigdef=[*_OFF_BY_PYTHON, END_ALL, signal.SIGTERM])
    _set_oom_score(before)
    _let_go_of_the_pipes()
    while (ended := os.wait())[0] != cli:
        pass
    return ended[1]


def _oom_score() -> int:
    try:
        with open(_OOM_SCORE) as file:
            return int(file.read())
    except OSError:
        return 0


def _set_oom_score(score: int) -> None:
    with contextlib.suppress(OSError), open(_OOM_SCORE, "w") as file:
        file.write(str(score))


def _end(*_: object) -> None:
    raise _AskedToEnd


def _adopt_orphans_and_hear_of_the_end_of(parent: int) -> None:
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(_PR_SET_PDEATHSIG, END_ALL, 0, 0, 0)
    if os.getppid() != parent:  # it has died before it was listened for
        raise _AskedToEnd


def _let_go_of_the_pipes() -> None:
    """They are the CLI's: their readers wait for its end, not for ours."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _kill_all() -> None:
    """Kill every child, and those that we inherit by that, until there is none. Our caller has a bound on it."""
    try:
        while True:
            for child in _children():
                with contextlib.suppress(PermissionError):  # it has become somebody else
                    os.kill(child, signal.SIGKILL)
            os.wait()
    except ChildProcessError:
        pass


def _children() -> list[int]:
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
        if parent == os.getpid():
            found.append(int(name))
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
