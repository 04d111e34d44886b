"""An error as a client is told it."""

import pytest

from codex_proxy.errors import NotReady, RateLimited


@pytest.mark.parametrize(
    ("message", "retry_after", "told"),
    [
        ("No worker is running yet. Try again.", 2.0, "No worker is running yet. Try again in 2 s."),
        ("The queue is full.", 4.2, "The queue is full. Try again in 5 s."),
        ("It is broken.", None, "It is broken."),
    ],
)
def test_the_wait_is_in_the_sentence(message: str, retry_after: float | None, told: str) -> None:
    assert NotReady(message, retry_after=retry_after).told == told


def test_a_turn_that_had_begun_does_not_invite_another_try() -> None:
    error = RateLimited("The provider answered 429.", retry_after=20.0)
    error.begun = True
    assert error.told == "The provider answered 429."
