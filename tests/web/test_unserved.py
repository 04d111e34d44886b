"""What a client of a route is told that this server has not."""

import pytest

from tests.conftest import Proxy


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("POST", "/v1/embeddings", "no embeddings"),
        ("POST", "/embeddings", "no embeddings"),
        ("POST", "/v1/audio/transcriptions", "no audio model"),
        ("POST", "/v1/audio/speech", "no audio model"),
        ("POST", "/v1/images/generations", "no images"),
        ("POST", "/v1/moderations", "no moderation model"),
        ("GET", "/v1/files", "stores no files"),
        ("POST", "/v1/uploads", "stores no files"),
        ("GET", "/v1/files/file-1/content", "stores no files"),
        ("POST", "/v1/batches", "background=true"),
        ("POST", "/v1/vector_stores/vs_1/search", "no vector stores"),
        ("GET", "/v1/fine_tuning/jobs", "trains no models"),
        ("POST", "/v1/threads/runs", "/v1/responses with /v1/conversations"),
        ("POST", "/v1/assistants", "/v1/responses with /v1/conversations"),
        ("GET", "/v1/realtime", "no realtime sessions"),
        ("GET", "/v1/chat/completions/chatcmpl-1", "does not store chat completions"),
    ],
)
async def test_an_api_that_there_is_not_is_a_404_of_one_sentence(refusing: Proxy, method: str, path: str, told: str) -> None:
    answer = await refusing.http.request(method, refusing.address + path)
    error = (await answer.json())["error"]
    assert (answer.status, error["code"]) == (404, "not_found")
    assert error["message"].startswith(f"Unknown route: {method} {path}. ")
    assert told in error["message"]


async def test_a_route_that_nobody_knows_is_called_unknown(refusing: Proxy) -> None:
    for path in ("/v1/nothing", "/nothing", "//"):
        answer = await refusing.http.get(refusing.address + path)
        assert (await answer.json())["error"]["message"] == f"Unknown route: GET {path}"
