# codex-proxy with the Codex CLI, run by an unprivileged user. docs/DEPLOYMENT.md, "Docker", explains how to start it: it needs a
# key, and options that let Codex build the sandbox for its commands.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY setup.cfg setup.py README.md LICENSE ./
COPY codex_proxy codex_proxy
RUN python3 -m venv /opt/codex-proxy && /opt/codex-proxy/bin/pip install --no-cache-dir '.[cli,redis]'

FROM ${PYTHON_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates git && rm -rf /var/lib/apt/lists/*

# The user and group ids that own the mounted login and workspace.
ARG UID=1000
ARG GID=1000
RUN groupadd --non-unique --gid "$GID" codex \
    && useradd --non-unique --uid "$UID" --gid "$GID" --create-home --shell /bin/bash codex \
    && install --directory --owner="$UID" --group="$GID" --mode=700 /home/codex/.codex /var/lib/codex-proxy \
    && install --directory --owner="$UID" --group="$GID" /workspace
COPY --from=build /opt/codex-proxy /opt/codex-proxy
ENV PATH=/opt/codex-proxy/bin:$PATH PROXY_HOST=0.0.0.0 PROXY_PORT=8000 STATE_DIRECTORY=/var/lib/codex-proxy CODEX_WORKDIR=/workspace

USER codex
WORKDIR /home/codex
VOLUME ["/home/codex/.codex", "/var/lib/codex-proxy", "/workspace"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PROXY_PORT\"]}/health', timeout=4)"]
ENTRYPOINT ["codex-proxy"]
CMD ["serve"]
