"""The warden: a small process between the server and the CLI that makes sure nothing the CLI starts outlives it. Linux only.

It adopts the processes that the CLI's commands orphan (PR_SET_CHILD_SUBREAPER), including those that left the process group
with setsid, and kills them all when the CLI exits, on SIGUSR1, or when the server dies in any way. Each CLI has its own warden,
so other workers' turns are unaffected. It runs as a script without site-packages and imports nothing from this package.

It also takes the kernel's keyrings away from the CLI, which does not use them: the sandbox does not, and the keys of a user can be
read and removed by whatever runs as that user (0.147.0 to 0.171.0).
"""

import contextlib
import ctypes  # imports are most of the warden's cost, so no pathlib and no typing
import errno
import os
import signal
import struct
import sys
from collections.abc import Iterator, Sequence

END_ALL = signal.SIGUSR1
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_OOM_SCORE = "/proc/self/oom_score_adj"  # added to a process's score when the kernel runs out of memory and picks a victim
_MORE_BADNESS, _MOST_BADNESS = 500, 1000  # oom_score_adj is in thousandths of all memory
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _WITH_FILTER = 22, 38, 2
# The first and last number of add_key, request_key and keyctl, by the number of the architecture in seccomp (linux/audit.h).
_KEYRINGS = {
    0xC000003E: (248, 250),  # x86-64
    0x40000003: (286, 288),  # i386
    0xC00000B7: (217, 219),  # arm64
    0x40000028: (309, 311),  # arm
    0xC00000F3: (217, 219),  # riscv64
    0xC0000015: (269, 271),  # ppc64le
    0x80000016: (278, 280),  # s390x
}
_LOAD, _AND, _IF_EQUAL, _IF_GREATER, _IF_NOT_LESS, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x35, 0x06  # linux/bpf_common.h
_ALLOW, _NO_SUCH_CALL = 0x7FFF0000, 0x00050000 | errno.ENOSYS
_NOT_X32 = 0xBFFFFFFF  # x86-64 has every call a second time, with another bit
_GAINS = "--may-gain-privileges"
_NOT_FOUND = 127  # a shell's exit code for a command that was not found
_OFF_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)  # ignored by Python; the CLI must not inherit that


class _AskedToEnd(Exception):
    pass


def argv(of: Sequence[str], *, may_gain: bool = False) -> list[str]:
    """The command line that runs the command `of` under a warden; the command itself where this is not Linux.

    `may_gain`: what it runs may gain privileges, as by sudo. An unprivileged warden then has to leave the keyrings open.
    """
    flags = [_GAINS] if may_gain else []
    return [sys.executable, "-I", "-S", __file__, *flags, str(os.getpid()), *of] if sys.platform == "linux" else [*of]


def main(parent: int, command: list[str], *, may_gain: bool) -> int:
    """Run one CLI until it exits, then kill what it left. Returns its exit code in the form a shell would."""
    status = int(signal.SIGKILL)
    try:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the CLI, but sent to the whole process group
            signal.signal(END_ALL, _end)
            _adopt_orphans_and_hear_of_the_end_of(parent)
            _shut_keyrings(may_gain=may_gain)
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


def _shut_keyrings(*, may_gain: bool) -> None:
    """Have the calls for keyrings fail as on a kernel without any, here and in all that is started from here."""
    prctl = ctypes.CDLL(None).prctl
    code = b"".join(struct.pack("=HBBI", *step) for step in _steps())
    filter_ = struct.pack("@HP", len(code) // 8, ctypes.addressof(kept := ctypes.create_string_buffer(code)))
    if prctl(_PR_SET_SECCOMP, _WITH_FILTER, filter_, 0, 0) and not may_gain:  # root may do it in any case
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(_PR_SET_SECCOMP, _WITH_FILTER, filter_, 0, 0)
    del kept


def _steps() -> Iterator[tuple[int, int, int, int]]:
    """The filter: code, how many steps to skip if true and if false, value."""
    yield _LOAD, 0, 0, 4  # the architecture
    for architecture, (first, last) in _KEYRINGS.items():
        yield _IF_EQUAL, 0, 6, architecture
        yield _LOAD, 0, 0, 0  # the number of the call
        yield _AND, 0, 0, _NOT_X32
        yield _IF_GREATER, 2, 0, last
        yield _IF_NOT_LESS, 0, 1, first
        yield _RETURN, 0, 0, _NO_SUCH_CALL
        yield _RETURN, 0, 0, _ALLOW
    yield _RETURN, 0, 0, _ALLOW


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
    gains = sys.argv[1] == _GAINS
    sys.exit(main(int(sys.argv[1 + gains]), sys.argv[2 + gains :], may_gain=gains))
