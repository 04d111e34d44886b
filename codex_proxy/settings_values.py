"""Parsers for the values of settings. They raise ValueError, which says what is allowed."""

import os
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

UNIX = "unix"  # stands for the peer of a Unix socket
Proxy = IPv4Network | IPv6Network | str

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def text(value: str) -> str:
    """Any text."""
    return value


def flag(value: str) -> bool:
    """A boolean in its usual spellings."""
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError(f"allowed are {', '.join(_TRUE + _FALSE)}")


def whole(lowest: int, highest: int, least: int | None = None) -> Callable[[str], int]:
    """A whole number in a range; numbers below `least` count as `least`."""

    def read(value: str) -> int:
        problem = f"allowed is a whole number from {lowest if least is None else least} to {highest}"
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise ValueError(problem)
        number = int(value)
        if not lowest <= number <= highest:
            raise ValueError(problem)
        return number if least is None else max(number, least)

    return read


port = whole(0, 65_535)


def seconds(lowest: float, highest: float) -> Callable[[str], float]:
    """A duration in seconds."""

    def read(value: str) -> float:
        problem = f"allowed is a number of seconds from {lowest:g} to {highest:g}"
        try:
            number = float(value)
        except ValueError:
            raise ValueError(problem) from None
        if not lowest <= number <= highest:  # NaN fails this too
            raise ValueError(problem)
        return number

    return read


def choice(*allowed: str) -> Callable[[str], str]:
    """One of the allowed words."""

    def read(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"allowed are {', '.join(allowed)}")
        return value

    return read


def store_address(value: str) -> str:
    """Where responses are stored."""
    if value in ("memory", "sqlite") or re.fullmatch(r"sqlite:///[^\0]+|rediss?://.+", value):
        return value
    raise ValueError("allowed are memory, sqlite, sqlite:///absolute/path and redis://host:port/db")


def comma_list(value: str) -> tuple[str, ...]:
    """Words separated by commas."""
    return tuple(word.strip() for word in value.split(",") if word.strip())


def pairs(value: str) -> tuple[tuple[str, str], ...]:
    """Pairs name=value, separated by commas."""
    found = [tuple(word.strip() for word in pair.partition("=")[::2]) for pair in comma_list(value)]
    if not all(all(pair) for pair in found):
        raise ValueError("allowed are NAME=MODEL, separated by commas, as in gpt-4o=gpt-5.5 chat,fast=gpt-5.5 low")
    return tuple((name, meaning) for name, meaning in found)


def proxies(value: str) -> tuple[Proxy, ...]:
    """Addresses, networks and the word unix, separated by commas."""
    try:
        return tuple(UNIX if word == UNIX else ip_network(word) for word in comma_list(value))
    except ValueError as error:
        raise ValueError(f"allowed are {UNIX} and addresses and networks like 127.0.0.1, 10.0.0.0/8, fd00::/8 ({error})") from None


def path(value: str) -> Path:
    """An absolute path with links and ~ resolved; it need not exist."""
    try:
        return Path(value).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"this path cannot be followed ({error})") from error


def location(value: str) -> Path:
    """An absolute path with ~ resolved and links kept; it need not exist."""
    try:
        return Path(value).expanduser().absolute()
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"this path cannot be followed ({error})") from error


def colon_list(value: str) -> tuple[Path, ...]:
    """Paths separated by colons."""
    return tuple(path(part) for part in value.split(":") if part)


def workspaces(value: str) -> tuple[Path, ...]:
    """Paths separated by colons; one that ends in /* stands for the directories in it, except links and hidden ones."""
    found: list[Path] = []
    for part in filter(None, value.split(":")):
        if part.endswith("/*"):
            directory = path(part.removesuffix("*"))
            entries = directory.iterdir() if directory.is_dir() else ()
            found += sorted(one for one in entries if one.is_dir() and not one.is_symlink() and not one.name.startswith("."))
        else:
            found.append(path(part))
    return tuple(found)


def existing_file(value: str, cwd: Path) -> Path:
    """A file that exists; relative paths start at `cwd`."""
    try:
        found = cwd / Path(value).expanduser()
        there = found.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"this path cannot be followed ({error})") from error
    if not there:
        raise ValueError("there is no such file")
    return found


def can_be_had(directory: Path) -> bool:
    """Whether a directory exists or can be created."""
    return directory.is_dir() or (not directory.exists() and os.access(directory.parent, os.W_OK))
