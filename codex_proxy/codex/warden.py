"""The warden: a small process between the server and the CLI that makes sure nothing the CLI starts outlives it. Linux only.

It adopts the processes that the CLI's commands orphan (PR_SET_CHILD_SUBREAPER), including those that left the process group
with setsid, and kills them all when the CLI exits, on SIGUSR1, or when the server dies in any way. Each CLI has its own warden,
so other workers' turns are unaffected. It runs as a script without site-packages and imports nothing from this package.
"""

import contextlib
import ctypes  # imports are most of the warden's cost, so no pathlib and no typing
import os
import signal
import sys
from collections.abc import Sequence

END_ALL = signal.SIGUSR1
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_OOM_SCORE = "/proc/self/oom_score_adj"  # added to a process's score when the kernel runs out of memory and picks a victim
_MORE_BADNESS, _MOST_BADNESS = 500, 1000  # oom_score_adj is in thousandths of all memory
_NOT_FOUND = 127  # a shell's exit code for a command that was not found
_OFF_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)  # ignored by Python; the CLI must not inherit that


class _AskedToEnd(Exception):
    pass


def argv(of: Sequence[str]) -> list[str]:
    """The command line that runs the command `of` under a warden; the command itself where this is not Linux."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *of] if sys.platform == "linux" else [*of]


def main(parent: int, command: list[str]) -> int:
    """Run one CLI until it exits, then kill what it left. Returns its exit code in the form a shell would."""
    status = int(signal.SIGKILL)
    try:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the CLI, but sent to the whole process group
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
    _set_oom_score(min(before + _MORE_BADNESS, _MOST_BADNESS))  # inherited by the CLI, so that it is killed before the server
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
    if os.getppid() != parent:  # the parent died before the prctl call
        raise _AskedToEnd


def _let_go_of_the_pipes() -> None:
    """Close our copies of the CLI's pipes: their readers wait for the CLI to exit, not for us."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _kill_all() -> None:
    """Kill every child, and those adopted as a result, until none is left. The caller of the warden limits the time."""
    try:
        while True:
            for child in _children():
                with contextlib.suppress(PermissionError):  # the process has changed its user
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
            continue  # the process has ended
        if parent == os.getpid():
            found.append(int(name))
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
