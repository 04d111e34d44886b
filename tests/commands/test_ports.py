"""Which port is free."""

import errno
import socket

from codex_proxy.commands import ports


def test_the_next_free_port_is_found_past_a_busy_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        found = ports.trouble("127.0.0.1", port)
        assert found is not None
        assert found.errno == errno.EADDRINUSE
        free = ports.next_free("127.0.0.1", port)
    assert free > port
    assert ports.trouble("localhost", free) is None


def test_past_the_last_port_any_will_do() -> None:
    with socket.socket() as last:
        last.bind(("127.0.0.1", 65_535))
        last.listen()
        assert ports.next_free("127.0.0.1", 65_535) == 0
