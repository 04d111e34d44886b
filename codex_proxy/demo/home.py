"""A temporary CODEX_HOME and workspace for Codex, with the scripted model server as the only provider."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

MODEL = "gpt-5.5"  # in the CLI's built-in catalogue, so that its efforts are known


class Home(msgspec.Struct, frozen=True):
    """Temporary directories, which exist until the block of `prepared` ends."""

    root: Path

    @property
    def codex_home(self) -> Path:
        return self.root / "codex_home"

    @property
    def workdir(self) -> Path:
        return self.root / "workspace"

    def furnish(self) -> None:
        """Put some files into the workspace for newcomers to look at."""
        (self.workdir / "hello.py").write_text('print("Hello from the demo\'s workspace.")\n')
        (self.workdir / "notes.txt").write_text("This directory is temporary. It is deleted when the demo ends.\n")

    def environment(self) -> dict[str, str]:
        """The settings that make a server use this home."""
        return {"HOME": str(self.root), "CODEX_CONFIG_DIR": str(self.codex_home), "CODEX_WORKDIR": str(self.workdir)}


@contextmanager
def prepared(base_url: str, more_config: str = "") -> Iterator[Home]:
    """Create a home whose provider is at `base_url`, and remove it at the end. `more_config` is TOML appended to our own."""
    home = Home(Path(tempfile.mkdtemp(prefix="codex-proxy-demo-")).resolve())
    try:
        home.codex_home.mkdir(mode=0o700)
        home.workdir.mkdir()
        (home.codex_home / "config.toml").write_text(_config(base_url) + more_config)
        yield home
    finally:
        shutil.rmtree(home.root, ignore_errors=True)


def _config(base_url: str) -> str:
    return f"""\
model = "{MODEL}"
model_provider = "demo"

[model_providers.demo]
name = "codex-proxy demo"
base_url = "{base_url}"
wire_api = "responses"
"""
