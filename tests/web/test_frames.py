"""What is remembered of a stream that may be asked for again."""

from codex_proxy.web.sse import Frames


def test_frames_are_kept_up_to_a_size_and_then_none_of_them() -> None:
    frames = Frames(10)
    frames.add("delta", "12345")
    frames.add(None, "12345")
    assert (frames.whole(), frames.too_large) == ((("delta", "12345"), (None, "12345")), False)
    frames.add("delta", "1")
    frames.add("delta", "")
    assert (frames.whole(), frames.too_large) == ((), True)
