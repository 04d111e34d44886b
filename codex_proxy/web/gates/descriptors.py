"""How many descriptors this process may have: enough to serve, or it does not start."""

import logging
import resource

from codex_proxy.settings import SettingsError

_log = logging.getLogger(__name__)

_FILES = 8192  # descriptors that we ask for; children inherit the bound, and it is harmless to programs that use select
_LEAST, _A_WORKER = 128, 10  # half of all are for connections; a worker has three pipes, two of them while replaced


def raise_file_limit(workers: int) -> None:
    """Let this process have more descriptors than the usual 1024, where the system lets it.

    Raises SettingsError when they are too few to serve: connections would be cut without a word.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _log.info("raised the limit of open files from %d to %d", soft, wanted)

    check(file_limit(), workers)


def check(most: int, workers: int) -> None:
    """Raises SettingsError when so many files are too few to serve."""
    least = _LEAST + workers * _A_WORKER
    if most < least:
        raise SettingsError(
            f"This process can have {most} files open, but needs {least} for {workers} workers. "
            "Raise the limit: ulimit -n, or LimitNOFILE= in systemd."
        )


def reachable_limit() -> int:
    """What `raise_file_limit` would come to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    return wanted if soft == resource.RLIM_INFINITY else max(soft, wanted)


def file_limit() -> int:
    """How many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _FILES if soft == resource.RLIM_INFINITY else soft
