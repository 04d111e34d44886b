"""What the project is given to strangers as: an sdist, and the wheel that is made of it."""

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
_NOT_SOURCE = (".git", ".venv", ".hypothesis", ".*_cache", "__pycache__", "build", "dist", "*.egg-info")


class Built(msgspec.Struct, frozen=True):
    """The two files of a release."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built once, from a copy of the tree, since building leaves its own files in it; the wheel comes from the sdist."""
    directory = tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT, directory / "tree", ignore=shutil.ignore_patterns(*_NOT_SOURCE))
    build = [sys.executable, "-m", "build", "--outdir", str(directory / "dist"), str(directory / "tree")]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL, timeout=600)
    (sdist,) = (directory / "dist").glob("*.tar.gz")
    (wheel,) = (directory / "dist").glob("*.whl")
    return Built(sdist, wheel)
