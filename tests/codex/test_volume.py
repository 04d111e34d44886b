"""How much a turn may write."""

import msgspec
import pytest

from codex_proxy.codex.volume import Volume

_MB = msgspec.Raw(b" " * (1024 * 1024))


@pytest.mark.parametrize(
    ("methods", "most"),
    [
        (("rawResponseItem/completed",), 64),
        (("item/started", "item/completed"), 128),
        (("item/agentMessage/delta", "item/commandExecution/outputDelta"), None),  # told and not kept
    ],
)
def test_a_turn_writes_no_more_than_is_kept(methods: tuple[str, ...], most: int | None) -> None:
    volume = Volume()
    went_on = [volume.add(methods[number % len(methods)], _MB) for number in range(130)]
    assert went_on == [most is None or number < most for number in range(130)]
