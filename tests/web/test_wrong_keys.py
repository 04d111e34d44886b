"""Wrong keys: how many a source may send, and how many sources are remembered."""

import logging

import pytest

from codex_proxy.errors import RateLimited
from codex_proxy.web.gates.auth import WRONG_KEYS_PER_MINUTE, WrongKeys
from tests.conftest import ProxyStarter


def test_one_more_than_may_be_is_told_when_to_come_again() -> None:
    wrong_keys = WrongKeys()
    for _ in range(WRONG_KEYS_PER_MINUTE):
        wrong_keys.count("198.51.100.1")
    with pytest.raises(RateLimited) as caught:
        wrong_keys.count("198.51.100.1")
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 60
    wrong_keys.count("198.51.100.2")


def test_sources_beyond_the_bound_are_counted_as_one(caplog: pytest.LogCaptureFixture) -> None:
    wrong_keys = WrongKeys()
    for number in range(10_000):
        wrong_keys.count(str(number))
    for number in range(10_000, 10_000 + WRONG_KEYS_PER_MINUTE):
        wrong_keys.count(str(number))
    for number in range(20_000, 20_003):
        with pytest.raises(RateLimited):
            wrong_keys.count(str(number))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_the_right_key_is_served_from_an_address_that_guesses(environ: dict[str, str], start_proxy: ProxyStarter) -> None:
    environ |= {"PROXY_API_KEY": "sk-proxy", "PROXY_TRUSTED_PROXIES": "127.0.0.1", "CODEX_MAX_PARALLEL_REQUESTS": "1"}
    async with start_proxy() as proxy:

        async def status(key: str, client: str) -> tuple[int, str | None]:
            headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": client}
            async with proxy.http.get(f"{proxy.base_url}/models", headers=headers) as answer:
                return answer.status, answer.headers.get("Retry-After")

        for _ in range(WRONG_KEYS_PER_MINUTE):
            assert await status("sk-guess", "198.51.100.1") == (401, None)
        refused, retry_after = await status("sk-guess", "198.51.100.1")
        assert refused == 429
        assert 1 <= int(retry_after or 0) <= 60
        assert await status("sk-proxy", "198.51.100.1") == (200, None)
        assert await status("sk-guess", "198.51.100.2") == (401, None)
