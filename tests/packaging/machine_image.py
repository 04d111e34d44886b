"""A base image without a registry: a root directory with this machine's Python, shell, git and what an image is built with.

Its apt-get installs nothing, and fails when it is asked for a package of which the program is not there.
"""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

_PROGRAMS = (
    *("sh", "bash", "cat", "env", "git", "id", "ls", "uname"),  # in use
    *("groupadd", "install", "mkdir", "rm", "useradd"),  # to build
)
_LIBRARIES = ("dl", "gcc_s", "m", "pthread", "resolv", "rt", "stdc++", "util")  # of the system, for pip's wheels
_PACKAGES = "ca-certificates"  # the one that has no program
_NOT_NEEDED = ("test", "idlelib", "tkinter", "turtledemo", "site-packages", "dist-packages", "__pycache__", "config-*", "*.a")
_APT_GET = f"""#!/bin/sh
for word in "$@"; do
    case $word in update | install | -* | {_PACKAGES}) ;; *) command -v "$word" || exit 100 ;; esac
done
"""
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/shadow": "root:*:::::::\n",
    "etc/gshadow": "root:*::\n",
    "etc/login.defs": "",
    "usr/bin/apt-get": _APT_GET,
}


def make(root: Path) -> None:
    """Fill an empty directory. Raises FileNotFoundError, with its name, when a program is missing on this machine."""
    for name in ("usr/bin", "usr/lib", "usr/lib64", "etc", "tmp", "root", "proc", "sys", "dev", "var/lib"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{'bin' if name == 'sbin' else name}")
    (root / "usr" / "sbin").symlink_to("bin")
    for name in _PROGRAMS:
        if (program := shutil.which(name)) is None:
            raise FileNotFoundError(name)
        _copy(Path(program), root / "usr" / "bin" / name)
        _copy_libraries(Path(program), root)
    for name, text in _FILES.items():
        (root / name).write_text(text)
    (root / "usr" / "bin" / "apt-get").chmod(0o755)
    _copy_system_libraries(root)
    _copy_python(root)
    _copy_pip_settings(root)


def _copy_system_libraries(root: Path) -> None:
    (libc,) = (root / "usr" / "lib").rglob("libc.so.6")
    directory = Path("/") / libc.relative_to(root).parent
    for name in _LIBRARIES:
        for file in directory.glob(f"lib{name}.so.?"):
            _copy(file, root / str(file)[1:])


def _copy_python(root: Path) -> None:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    base = Path(sys.base_prefix).resolve()
    library = Path("lib") / version
    shutil.copytree(base / library, root / str(base)[1:] / library, ignore=shutil.ignore_patterns(*_NOT_NEEDED))
    _copy(base / "bin" / version, root / str(base)[1:] / "bin" / version)
    for file in (base / "bin" / version, *(base / library / "lib-dynload").glob("*.so")):
        _copy_libraries(file, root)
    for name in (root / "usr" / "bin" / "python3", root / "usr" / "local" / "bin" / "python3"):
        name.parent.mkdir(parents=True, exist_ok=True)
        if not name.exists():
            name.symlink_to(base / "bin" / version)


def _copy_pip_settings(root: Path) -> None:
    """pip's configuration as it is here, and the files that it names."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(pip, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    settings = {}
    for line in lines:
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    for value in settings.values():
        if Path(value).is_absolute() and Path(value).is_file():
            _copy(Path(value), root / value[1:])
    text = "".join(f"{name} = {value}\n".replace("%", "%%") for name, value in settings.items())
    (root / "etc" / "pip.conf").write_text(f"[global]\n{text}")


def _copy_libraries(program: Path, root: Path) -> None:
    """What the loader gives it, as ldd names it; a script has none."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False, timeout=60)
    for word in listed.stdout.split():
        if word.startswith("/") and not (target := root / word[1:]).exists():
            _copy(Path(word), target)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copyfile(os.path.realpath(source), target)
        target.chmod(0o755)
