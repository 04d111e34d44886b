"""The first words with a CLI: who we are, and what we do not want to hear."""

from codex_proxy import __version__
from codex_proxy.codex import methods
from codex_proxy.codex.connection import Connection

CLIENT_NAME = "codex_proxy"  # as whose threads the CLI marks ours


async def shake_hands(connection: Connection, timeout: float) -> None:
    """Raises WorkerFailed when the CLI does not answer as it should."""
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
