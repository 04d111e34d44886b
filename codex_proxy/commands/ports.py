"""Checks for free ports."""

import socket

_TRIED = 20
_HIGHEST = 65_535


def trouble(host: str, port: int) -> OSError | None:
    """Return the error that listening there would raise now; None if the port is free."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.create_server(address[:2], family=family):
            return None
    except OSError as error:
        return error


def next_free(host: str, first: int) -> int:
    """Return the first free port from `first` on; 0 (any free port) if none of the next few is free."""
    for port in range(first, min(first + _TRIED, _HIGHEST + 1)):
        if trouble(host, port) is None:
            return port
    return 0
