"""Records as the Redis store keeps them: the fields of a hash."""

import logging
from collections.abc import Iterable

from codex_proxy.store.base import Record

_log = logging.getLogger(__name__)


def fields(record: Record) -> list[str | bytes | int]:
    """Return all fields but the id, as alternating names and values."""
    named: dict[str, str | bytes | int] = {
        "owner": record.owner,
        "created_at": record.created_at,
        "status": record.status,
        "body": record.body,
        "holder": record.holder or "",
        "cancel_wanted": int(record.cancel_wanted),
        "last_event": record.last_event,
    }
    return [part for pair in named.items() for part in pair]


def record(record_id: str, found: list[bytes]) -> Record:
    """Build a record from the result of `state`."""
    owner, created_at, status, body, holder, cancel_wanted, last_event = found
    return Record(
        id=record_id,
        owner=owner.decode(),
        created_at=int(created_at),
        status=status.decode(),
        body=body,
        holder=holder.decode() or None,
        cancel_wanted=cancel_wanted == b"1",
        last_event=int(last_event or -1),  # missing in records of an earlier version
    )


class Readable:
    """Builds records, leaving out those that somebody has damaged: one must not hide the others. Each is logged once."""

    def __init__(self) -> None:
        self._told: set[bytes] = set()

    def records(self, found: Iterable[tuple[bytes, list[bytes]]]) -> list[Record]:
        built = []
        for record_id, state in found:
            try:
                built.append(record(record_id.decode(), state))
            except (AttributeError, TypeError, ValueError) as error:  # a field is missing, or is something else
                if record_id not in self._told:
                    _log.error("the record %r in Redis is damaged and stays as it is: %s", record_id, error)
                self._told.add(record_id)
        return built
