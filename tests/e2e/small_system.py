"""A small system with systemd as its first process, in namespaces and on an overlay of this machine's files.

What it writes is lost, its network is a loopback of its own, and its services are real: every restriction of a unit holds.
Needs root and the right to mount; where that is missing the test is skipped.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

_INIT = "/lib/systemd/systemd"
_LIMIT = 120  # seconds

# What an overlay of / may leave out, and a unit may hide: Python and this package.
SEEN = tuple(dict.fromkeys(str(Path(place).resolve()) for place in (sys.prefix, sys.base_prefix, Path(__file__).parents[2])))

_BOOT = """
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$ROOM"
mkdir "$ROOM/up" "$ROOM/work" "$ROOM/root"
mount -t overlay -o "lowerdir=/,upperdir=$ROOM/up,workdir=$ROOM/work" overlay "$ROOM/root"
cd "$ROOM/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 dev dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/pts dev/shm dev/mqueue dev/hugepages
mount -t devpts -o ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t mqueue mqueue dev/mqueue
if [ -n "$HYBRID" ]; then
    mount -t tmpfs cgroup sys/fs/cgroup
    mkdir sys/fs/cgroup/unified sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
else
    mount -t cgroup2 cgroup2 sys/fs/cgroup
fi
for place in $SEEN; do mkdir -p "./$place"; mount --rbind "$place" "./$place"; done
rm -rf etc/systemd/system
mkdir -p etc/systemd run/systemd/system mnt/given
mount --bind "$GIVEN" mnt/given
cp -r mnt/given/units/. run/systemd/system
mkdir old
pivot_root . old
umount -l /old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other "$INIT" --system --unit=script.target
"""
_UNITS = {
    "script.target": "[Unit]\nDefaultDependencies=no\nRequires=script.service\n",
    "script.service": """[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
StandardOutput=file:/mnt/given/output
StandardError=inherit
ExecStart=/bin/bash -eux /mnt/given/script
ExecStopPost=/bin/kill -s RTMIN+14 1
""",  # that signal to systemd: power off
}


def run(directory: Path, units: Mapping[str, str], script: str) -> str:
    """Boot, run a bash script as root there, power off. Returns what it printed; the last line is "done" if all went well."""
    if not os.path.exists(_INIT):
        pytest.skip("systemd is not installed")
    given, room = directory / "given", directory / "room"
    for path, text in {**units, **_UNITS}.items():
        (given / "units" / path).parent.mkdir(parents=True, exist_ok=True)
        (given / "units" / path).write_text(text)
    (given / "script").write_text(f"{script}\necho done\n")
    room.mkdir()
    hierarchies = _hierarchies()
    names = {
        "ROOM": str(room),
        "GIVEN": str(given),
        "SEEN": " ".join(SEEN),
        "INIT": _INIT,
        "HYBRID": "yes" * (len(hierarchies) - 1),
    }
    with _cgroups(hierarchies) as cgroups:
        enter = "".join(f'echo $$ > "{place}/cgroup.procs"; ' for place in cgroups)
        unshare = "exec unshare -m -p -f --kill-child -u -i -n -C --mount-proc sh -c"
        argv = ["sh", "-c", f'{enter}{unshare} "$BOOT"']
        environ = {**os.environ, **names, "BOOT": _BOOT}
        booted = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=_LIMIT, check=False)
    output = given / "output"
    if not output.exists():
        pytest.skip(f"needs the right to make namespaces and to mount: {booted.stderr.strip()[-300:]}")
    return output.read_text()


def _hierarchies() -> list[Path]:
    """Where cgroups are mounted that systemd uses: version 2, and in a hybrid system its own of version 1 too."""
    return [place for place in map(Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")) if _is_root(place)]


def _is_root(place: Path) -> bool:
    return (place / "cgroup.procs").exists()


@contextmanager
def _cgroups(hierarchies: list[Path]) -> Iterator[list[Path]]:
    """A cgroup in each: to systemd it is the root, and those of this machine are left alone."""
    made = [place / f"codex-proxy-test-{uuid.uuid4().hex}" for place in hierarchies]
    try:
        for place in made:
            place.mkdir()
    except OSError as error:
        pytest.skip(f"needs the right to make cgroups: {error}")
    try:
        yield made
    finally:
        for place in made:
            for directory, _, _ in os.walk(place, topdown=False):
                os.rmdir(directory)
