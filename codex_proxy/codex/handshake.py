"""The initialize handshake with the CLI: our name, and the notifications we do not want."""

from codex_proxy import __version__
from codex_proxy.codex import methods
from codex_proxy.codex.connection import Connection

CLIENT_NAME = "codex_proxy"  # recorded by the CLI as the originator of our threads


async def shake_hands(connection: Connection, timeout: float) -> None:
    """Initialize the connection. Raises WorkerFailed when the CLI does not answer as expected."""
    await connection.request(
        "initialize",
        {
            "clientInfo": {"name": CLIENT_NAME, "title": "codex-proxy", "version": __version__},
            "capabilities": {"experimentalApi": True, "optOutNotificationMethods": methods.UNWANTED},
        },
        dict,
        timeout,
    )
    await connection.notify("initialized")
