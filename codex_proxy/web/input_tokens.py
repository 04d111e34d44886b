"""POST /v1/responses/input_tokens: how many tokens a request gives the model to read. `dialects/tokens.py` says what counts."""

import asyncio

import msgspec
from aiohttp import web

from codex_proxy.dialects import tokens
from codex_proxy.web import errors, responses_input
from codex_proxy.web.server import SERVER


async def count(request: web.Request) -> web.Response:
    """Count the tokens without running anything. Members that /v1/responses refuses are refused here too."""
    server = request.app[SERVER]
    who, body = await server.admit_body(request)
    try:
        asked = await responses_input.decoded(server, who, body.content)
        body.decoded()
        asked = await responses_input.with_history(server, who, asked, body.size)
        asked = asked.with_images(await server.images_of(asked.wish, who))
        server.decide(asked.wish, who)
        found = await asyncio.to_thread(tokens.count, asked.wish)
    finally:
        body.let_go()
    return errors.json_response(msgspec.json.encode(tokens.InputTokens(found)))
