"""What is in the sdist and the wheel, and what they say of themselves."""

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from codex_proxy import __version__
from tests.packaging.conftest import ROOT, Built

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]


def test_the_wheel_holds_the_whole_package_and_nothing_else(built: Built) -> None:
    package = ROOT / "codex_proxy"
    expected = {str(file.relative_to(ROOT)) for file in _files(package)}
    names = set(zipfile.ZipFile(built.wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert f"codex_proxy_server-{__version__}.dist-info/LICENSE" in {name.replace("/licenses/", "/") for name in names}


def _files(package: Path) -> list[Path]:
    data = [*(package / "web" / "console" / "static").iterdir(), *(package / "commands" / "units").iterdir()]
    return [*package.rglob("*.py"), package / "py.typed", *data]


def test_the_metadata_are_valid_and_say_what_is_needed(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        metadata = Metadata.from_email(wheel.read(f"codex_proxy_server-{__version__}.dist-info/METADATA"), validate=True)
    assert (metadata.name, str(metadata.version), str(metadata.requires_python)) == ("codex-proxy-server", __version__, ">=3.11")
    assert metadata.description is not None
    assert metadata.description.strip() == (ROOT / "README.md").read_text().strip()
    assert metadata.description_content_type == "text/markdown"
    assert (metadata.license, metadata.license_files) == ("MIT", ["LICENSE"])
    assert metadata.classifiers is not None
    assert "Typing :: Typed" in metadata.classifiers
    assert metadata.provides_extra is not None
    assert set(metadata.provides_extra) == {"cli", "dev", "redis"}
    assert metadata.project_urls


def test_the_sdist_holds_every_file_of_the_repository(built: Built) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is not a clone")
    expected = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    with tarfile.open(built.sdist) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    assert expected - held == set()
