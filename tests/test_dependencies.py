"""What we use of our dependencies beyond their documented API: an update that takes it away fails here, and says what broke."""

import inspect

import pytest
from aiohttp import web
from aiohttp.web_runner import BaseRunner
from aiohttp_sse import EventSourceResponse


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (EventSourceResponse, "_abort_transport", ["self"]),  # web/sse.py: to leave a client that does not read
        (BaseRunner, "_make_server", ["self"]),  # web/gates/runner.py: to see connections before their requests
        (web.AppRunner, "_make_server", ["self"]),
    ],
)
def test_a_private_name_that_we_use_is_what_it_was(owner: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters
