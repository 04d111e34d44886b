"""The image, built by buildah of the Dockerfile as it is, on a base that is made of this machine; and the server in it."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.packaging import machine_image
from tests.packaging.conftest import ROOT

pytestmark = pytest.mark.slow
_BUILD_LIMIT = 900.0  # seconds
_TRY = """
import json, os, re, subprocess, sys, urllib.request
serve = subprocess.Popen(["codex-proxy", "serve", "--demo"], stdout=subprocess.PIPE, text=True)
try:
    address = next(found[1] for line in serve.stdout if (found := re.search(r"(http://[0-9.:]+)/v1", line)))
    body = {"messages": [{"role": "user", "content": "Hello!"}]}
    headers = {"Content-Type": "application/json", "Authorization": "Bearer of-the-test"}
    request = urllib.request.Request(f"{address}/v1/chat/completions", json.dumps(body).encode(), headers)
    answer = json.load(urllib.request.urlopen(request, timeout=60))["choices"][0]["message"]["content"]
    environ = os.environ | {"PROXY_PORT": address.rpartition(":")[2]}
    health = subprocess.run(sys.argv[1:], env=environ, check=False, timeout=30).returncode
finally:
    serve.terminate()
print(json.dumps({"answer": answer, "health": health, "exit": serve.wait(60)}))
"""

Buildah = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    """Runs buildah with a storage of the tests' own, and gives back what became of it."""
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed")
    if os.geteuid():
        pytest.skip("without the rights of root an image needs user namespaces with more than one id")
    directory = tmp_path_factory.mktemp("buildah")
    storage = ["--root", f"{directory}/root", "--runroot", f"{directory}/run", "--storage-driver", "vfs"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["buildah", *storage, *arguments], capture_output=True, text=True, timeout=_BUILD_LIMIT, check=False, cwd=ROOT
        )

    return run


@pytest.fixture(scope="module")
def container(buildah: Buildah, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A container of the image."""
    base = tmp_path_factory.mktemp("machine")
    machine_image.make(base)
    scratch = _said(buildah("from", "scratch"))
    _said(buildah("add", "--quiet", scratch, str(base), "/"))
    probe = buildah("run", "--isolation", "chroot", scratch, "--", "sh", "-c", "exit 0")
    if probe.returncode:
        pytest.skip(f"buildah may run no container here: {probe.stderr.strip()[-300:]}")
    _said(buildah("commit", "--quiet", "--rm", scratch, "base"))
    shutil.rmtree(base)
    options = ["--isolation", "chroot", "--format", "docker", "--layers=false", "--build-arg", "PYTHON_IMAGE=localhost/base"]
    _said(buildah("bud", "--quiet", *options, "--tag", "codex-proxy", "."))
    name = _said(buildah("from", "localhost/codex-proxy"))
    yield name
    buildah("rm", "--all")
    buildah("rmi", "--all", "--force")


def _said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def _run(buildah: Buildah, container: str, *command: str, key: str = "") -> subprocess.CompletedProcess[str]:
    # in this kind of container Codex's sandbox may make no namespace, so no agent would be ready
    environ = ["--env", f"PROXY_API_KEY={key}", "--env", "PROXY_PORT=0", "--env", "CODEX_DEFAULT_MODE=chat"]
    return buildah("run", "--isolation", "chroot", *environ, container, "--", *command)


def test_the_image_serves_as_a_user_without_rights_and_only_with_a_key(buildah: Buildah, container: str) -> None:
    assert _said(_run(buildah, container, "id", "-u")) == "1000"
    assert _said(_run(buildah, container, "git", "--version"))
    refused = _run(buildah, container, "codex-proxy", "serve")
    assert (refused.returncode, "there is no PROXY_API_KEY" in refused.stderr) == (2, True), refused.stderr
    config = json.loads(_said(buildah("inspect", container)))["Docker"]["config"]
    assert (config["Entrypoint"], config["Cmd"], config["User"]) == (["codex-proxy"], ["serve"], "codex")
    command, *health = config["Healthcheck"]["Test"]
    assert command == "CMD"
    told = json.loads(_said(_run(buildah, container, "python3", "-c", _TRY, *health, key="of-the-test")))
    assert (told["health"], told["exit"]) == (0, 0), told
    assert "codex-proxy demo" in told["answer"]
