"""The limit on open file descriptors: enough to serve, or the server does not start."""

import logging
import resource

from codex_proxy.settings import SettingsError

_log = logging.getLogger(__name__)

_FILES = 8192  # descriptors to ask for; children inherit the limit, and it is harmless to programs that use select
_LEAST, _A_WORKER = 128, 10  # half of all are for connections; a worker has three pipes, two of them while it is replaced


def raise_file_limit(workers: int) -> None:
    """Raise the limit above the usual 1024, as far as the system allows.

    Raises SettingsError if there are too few to serve: connections would be cut without a word.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _log.info("raised the limit of open files from %d to %d", soft, wanted)

    check(file_limit(), workers)


def check(most: int, workers: int) -> None:
    """Raise SettingsError if this many descriptors are too few to serve."""
    least = _LEAST + workers * _A_WORKER
    if most < least:
        raise SettingsError(
            f"This process can have {most} files open, but needs {least} for {workers} workers. "
            "Raise the limit: ulimit -n, or LimitNOFILE= in systemd."
        )


def reachable_limit() -> int:
    """Return the limit that `raise_file_limit` would reach."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    return wanted if soft == resource.RLIM_INFINITY else max(soft, wanted)


def file_limit() -> int:
    """Return the present limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _FILES if soft == resource.RLIM_INFINITY else soft
