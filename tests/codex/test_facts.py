"""Whether a provider's address certainly is on this machine: CODEX_LOCAL_ONLY stands on it."""

import pytest

from codex_proxy.codex.facts import is_local


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "http://localhost:11434/v1",
        "https://localhost/v1",
        "http://127.0.0.1:8080/v1",
        "http://127.0.0.1",
        "http://127.255.255.254/v1",
        "http://[::1]:11434/v1",
        "http://localhost/v1?at=elsewhere.example",
        "unix:///run/model.sock",
    ],
)
def test_an_address_of_this_machine_is_local(url: str) -> None:
    assert is_local(url)


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        " ",
        "localhost",
        "localhost:11434/v1",
        "//localhost/v1",
        "/run/model.sock",
        "http://",
        "http:///v1",
        "http:localhost",
        "https://api.openai.com/v1",
        "http://192.168.1.5/v1",
        "http://10.0.0.1",
        "http://0.0.0.0:11434",
        "http://[::]:11434",
        "http://169.254.169.254/latest",
        "http://128.0.0.1",
        "http://[fe80::1]/v1",
        "http://[::ffff:8.8.8.8]/v1",
        "http://[::1",
        "http://localhost.example/v1",
        "http://notlocalhost/v1",
        "http://127.0.0.1.example/v1",
        "http://127.0.0.1@elsewhere.example/v1",
        "http://localhost:80@elsewhere.example/v1",
        "http://elsewhere.example/127.0.0.1",
        "http://elsewhere.example#@127.0.0.1",
        "http://elsewhere.example?@127.0.0.1",
        "http://127.1/v1",
        "http://2130706433/v1",
        "http://0x7f000001/v1",
        "http://0177.0.0.1/v1",
        "http://127.0.0.256/v1",
        "http://１２７.0.0.1/v1",
        "http://%6cocalhost/v1",
        "ws://localhost/v1",
        "file://localhost/etc/passwd",
        "ftp://127.0.0.1/",
    ],
)
def test_any_other_address_is_not_and_the_unknown_neither(url: str | None) -> None:
    assert not is_local(url)


@pytest.mark.parametrize(
    "url",
    [
        "HTTP://LocalHost:1/v1",
        "http://[0:0:0:0:0:0:0:1]/v1",
        "http://user:password@127.0.0.1/v1",
        "http://127.0.0.1#@elsewhere.example/",
        "http://localhost?at=elsewhere.example",
        "http://local\thost/v1",
        "unix:/run/model.sock",
    ],
)
def test_an_address_of_this_machine_in_an_unusual_form_is_taken_for_another(url: str) -> None:
    assert not is_local(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere.example\\@127.0.0.1/v1",
        "http://elsewhere.example:80\\@localhost/v1",
        "https://elsewhere.example\\@[::1]/v1",
    ],
)
def test_an_address_that_the_cli_reads_otherwise_is_not_local(url: str) -> None:
    # The CLI takes the backslash for a slash (WHATWG URL; seen with 0.163.0), so its host is what stands before it.
    assert not is_local(url)
