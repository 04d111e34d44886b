"""nginx, with the configuration of docs/examples and both of its instances, but a certificate of ours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from tests.e2e.front import NAME, Front, certify, example, running
from tests.support.machine import free_port

_AROUND = """
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/example.conf;
}}
"""


@asynccontextmanager
async def nginx(directory: Path, one: str, two: str) -> AsyncIterator[Front]:
    """Run it in front of the instances at `one` and `two` (addresses)."""
    port = free_port()
    authority = trustme.CA()
    certificate, key = certify(authority, directory)
    text = example(
        "nginx.conf",
        {
            "127.0.0.1:8000": urlsplit(one).netloc,
            "#server 127.0.0.1:8001": f"server {urlsplit(two).netloc}",
            "listen 443 ": f"listen 127.0.0.1:{port} ",
            f"/etc/ssl/certs/{NAME}.pem": str(certificate),
            f"/etc/ssl/private/{NAME}.key": str(key),
        },
    )
    (directory / "example.conf").write_text(text)
    config = directory / "nginx.conf"
    config.write_text(_AROUND.format(directory=directory))
    async with running("nginx", "-e", "stderr", "-c", config, "-p", directory, port=port):
        yield Front(port, authority)
