"""What a thread's commands see of the disk, which root they may write to, and the permission profile for that.

A view lists what is shown; everything else is absent. So nothing that appears during a turn is seen either, whatever its name,
and neither the model nor `ps` learns what is hidden. A view must not name a path that a command could replace by a link: nothing
inside a root that commands may write to, only the root itself, whose parent they cannot write to.
"""

import functools
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from codex_proxy.codex.hidden import Hidden
from codex_proxy.settings import Settings
from codex_proxy.whole_file import Version, version

_log = logging.getLogger(__name__)

_ENTRIES_AT_MOST = 200  # shown of a directory with hidden entries; all of them are on each command's command line
_PLATFORM = ":minimal"  # what every command needs on this system, according to the CLI
_LINKS_OF_PLATFORM = ("/bin", "/lib", "/lib64", "/sbin")  # part of it; a link named again is mounted twice, at both its ends


class View(msgspec.Struct, frozen=True):
    """What commands see. `shown` None means everything but `hidden`; `root` is the only path that may be written to, if any."""

    shown: tuple[str, ...] | None = ()
    root: str | None = None
    hidden: tuple[str, ...] = ()
    network: bool = False

    @property
    def profile(self) -> dict[str, Any]:
        """The permission profile, in the form of the CLI's configuration."""
        rules = dict.fromkeys(self.hidden, "deny") | ({self.root: "write"} if self.root is not None else {})
        network = {"network": {"enabled": True}} if self.network else {}
        if self.shown is None:
            return {"extends": ":read-only", "filesystem": rules} | network
        return {"filesystem": {_PLATFORM: "read"} | dict.fromkeys(self.shown, "read") | rules} | network

    def shows(self, place: str) -> bool:
        """Whether commands see a real path."""
        shown = self.shown is None or _inside(place, self.shown) or (self.root is not None and _inside(place, (self.root,)))
        return shown and not _inside(place, self.hidden)


class Views:
    """Makes the views of one worker. `programs` are directories that the sandbox itself must be able to read."""

    def __init__(self, settings: Settings, programs: Iterable[str]) -> None:
        self._protects = settings.protect_secrets
        self._roots = tuple(map(str, settings.roots))
        kept = tuple(programs)
        # Roots without write access are shown like any path; others as a whole: commands decide what is inside.
        self._whole = self._roots if settings.commands_write else ()
        walked = () if settings.commands_write else self._roots
        hidden = {network: Hidden.of(settings, (*kept, *walked), network=network) for network in (False, True)}
        self._walks = {network: _Walk(places, self._whole) for network, places in hidden.items()}

    def view(self, *, root: str | None, network: bool) -> View:
        """What commands see now. They may write to `root`, unless it is None."""
        if not self._protects:
            return View(None, root, network=network)
        walk = self._walks[network]
        there = [place for place in walk.hidden.places if os.path.lexists(place)]
        if sys.platform != "linux":
            return View(None, root, _outermost(there), network)
        inside = (place for place in there if _inside(place, self._whole))
        return View((*walk.shown(), *(one for one in self._whole if one != root)), root, _outermost(inside), network)


class _Read(msgspec.Struct, frozen=True):
    """A directory as it was read: what is shown of it, and its directories with something hidden below."""

    version: Version | None
    shown: tuple[str, ...]
    below: tuple[str, ...]
    has_links: bool  # whose targets may change without the directory


class _Walk:
    """Collects the outermost paths in which nothing is hidden; of the directories above them, only changed ones are read again."""

    def __init__(self, hidden: Hidden, whole: tuple[str, ...]) -> None:
        self.hidden = hidden
        self._read: dict[str, _Read] = {}
        self._shown: tuple[str, ...] = ()
        self._whole = whole
        marks = [place for place in (*hidden.places, *hidden.opened) if not _inside(place, whole)]
        self._on_the_way = {step for place in (*marks, f"{hidden.home}/.") for step in _ancestors(place)}
        self._known: dict[str, set[str]] = {}  # all that may be shown or walked of a hidden directory
        for place in (*self._on_the_way, *hidden.opened):
            self._known.setdefault(os.path.dirname(place), set()).add(place)

    def shown(self) -> tuple[str, ...]:
        unchanged = {directory: read for directory, read in self._read.items() if version(directory) == read.version}
        if not self._read or len(unchanged) < len(self._read):
            self._read = {directory: read for directory, read in unchanged.items() if not read.has_links}
            self._shown = tuple(sorted(self._below("/")))
        return self._shown

    def _below(self, directory: str) -> Iterator[str]:
        if directory not in self._read:
            self._read[directory] = self._look(directory)
        yield from self._read[directory].shown
        for place in self._read[directory].below:
            yield from self._below(place)

    def _look(self, directory: str) -> _Read:
        seen = version(directory)
        shown: list[str] = []
        below, has_links = [], False
        hidden = self.hidden.hides(directory)  # /tmp may have thousands of entries, and changes all the time
        for place, is_link in _present(self._known.get(directory, ())) if hidden else _entries(directory):
            if place in self._whole or (is_link and place in _LINKS_OF_PLATFORM):
                continue
            has_links |= is_link
            if place in self._on_the_way and not is_link:
                below.append(place)
            elif not self.hidden.hides(place) and (not is_link or self._leads_to_shown(place)):
                if len(shown) == _ENTRIES_AT_MOST:
                    _tell_of_the_rest(directory)
                    break
                shown.append(place)
        return _Read(seen, tuple(shown), tuple(below), has_links)

    def _leads_to_shown(self, link: str) -> bool:
        """Whether a link may be shown, which shows its target: one through a path that commands may write to can lead anywhere."""
        target = os.path.realpath(link)
        safe = not _inside(target, self._whole) and target not in self._on_the_way
        return safe and os.path.exists(target) and not self.hidden.hides(target)


@functools.cache
def _tell_of_the_rest(directory: str) -> None:
    _log.warning(
        "%s has more than %d entries beside what is hidden there: commands see the first of them, directories before files. "
        "Name what they need in CODEX_ALLOW_READ",
        directory,
        _ENTRIES_AT_MOST,
    )


def _entries(directory: str) -> list[tuple[str, bool]]:
    """(path, is a link) of each entry in a fixed order, directories first; empty if the directory cannot be read."""
    try:
        with os.scandir(directory) as entries:
            kinds = sorted((not entry.is_dir(follow_symlinks=False), entry.path, entry.is_symlink()) for entry in entries)
    except OSError:
        return []
    if directory == "/":
        kinds = [kind for kind in kinds if not kind[0] or kind[2]]  # shows no files of the root directory
    return [(path, is_link) for _, path, is_link in kinds]


def _present(places: Iterable[str]) -> list[tuple[str, bool]]:
    """(path, is a link) of each path that exists."""
    return [(place, os.path.islink(place)) for place in sorted(places) if os.path.lexists(place)]


def _ancestors(place: str) -> Iterator[str]:
    while place != "/":
        place = place.rpartition("/")[0] or "/"
        yield place


def _inside(place: str, roots: Iterable[str]) -> bool:
    return any(place == root or place.startswith(f"{root.rstrip('/')}/") for root in roots)


def _outermost(places: Iterable[str]) -> tuple[str, ...]:
    """The paths that are not inside another: no command can start with a deny rule inside a denied path."""
    kept: list[str] = []
    for place in sorted(places):
        if not _inside(place, kept):
            kept.append(place)
    return tuple(kept)
