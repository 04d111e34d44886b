"""POST /v1/completions: a legacy text completion, which is a chat turn whose answer is shown as text."""

from aiohttp import web

from codex_proxy.dialects.chat.request import ChatRequest
from codex_proxy.dialects.completions import request as completions_request
from codex_proxy.dialects.completions.answer import Pieces, Whole
from codex_proxy.errors import UnsupportedParameter
from codex_proxy.web.chat import Form, answer
from codex_proxy.web.server import SERVER, Server


async def create(request: web.Request) -> web.StreamResponse:
    """Run one turn and answer with a completion or a stream of pieces."""
    server = request.app[SERVER]
    who, body = await server.admit_body(request)
    return await answer(request, who, body, _TEXT)


def _check(server: Server, asked: ChatRequest) -> None:
    if server.facts().catalog.choose(asked.wish.model).mode == "agent":
        problem = "Text completions run in chat mode only. Leave 'agent' out of the model name, or use /v1/chat/completions."
        raise UnsupportedParameter(problem, param="model")


_TEXT = Form("cmpl", completions_request.decode, Whole, Pieces, _check)
