"""A child that misbehaves as the real CLI cannot be made to: python child.py WAY. One function for each way."""

import os
import signal
import subprocess
import sys
import time


def echoes() -> None:
    for line in sys.stdin:
        sys.stdout.write(line)
        sys.stdout.flush()


def ignores_sigterm_and_eof() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    while True:
        time.sleep(60)


def leaves_a_grandchild_that_holds_stdout() -> None:
    grandchild = subprocess.Popen(["sleep", "305.5"])
    print(grandchild.pid, flush=True)


def floods_stderr() -> None:
    for number in range(20_000):
        print(f"complaint {number} " + "x" * 80, file=sys.stderr)
    print("still here", flush=True)
    sys.stdin.read()


def writes_a_line_of_33_mib() -> None:
    sys.stdout.write("x" * (33 * 1024 * 1024) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


def ends_in_the_middle_of_a_line() -> None:
    sys.stdout.write('{"id": 1')
    sys.stdout.flush()
    print("last words", file=sys.stderr, flush=True)
    os._exit(3)


def stops_itself() -> None:
    print("stopping", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
