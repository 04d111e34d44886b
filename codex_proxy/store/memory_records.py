"""Records as the memory store keeps them."""

import bisect
from typing import TypeVar

import msgspec

from codex_proxy.store.base import Amendment, Change, Record, StoredEvent, StoredPart


class Kept:
    """A record and everything that belongs to it."""

    def __init__(self, record: Record, input_items: bytes, conversation: bytes, number: int) -> None:
        self.record = record
        self.number = self.ended = number  # order of arrival, and of the end
        self.input_items = input_items
        self.conversation = conversation
        self.parts: list[StoredPart] = []  # sorted by number, like the events
        self.events: list[StoredEvent] = []
        self.size = len(record.body) + len(input_items) + len(conversation)  # bytes that count toward the bound

    def take(self, change: Change) -> None:
        body = self.record.body if change.body is None else change.body
        self.size += len(body) - len(self.record.body)
        last_event = max(self.record.last_event, change.last_event)
        self.record = msgspec.structs.replace(self.record, status=change.status, body=body, last_event=last_event)
        self.size += sum(_put(self.parts, part) for part in change.parts)
        self.size += sum(_put(self.events, event) for event in change.events)

    def amend(self, amendment: Amendment, number: int) -> None:
        self.number = self.ended = number
        body = self.record.body if amendment.body is None else amendment.body
        self.size += len(body) - len(self.record.body)
        changed = {"created_at": amendment.at, "body": body, "last_event": amendment.last_event}
        self.record = msgspec.structs.replace(self.record, **changed)
        removed = {event.number for event in amendment.removed}
        self.size -= sum(len(event.content) for event in self.events if event.number in removed)
        self.events = [event for event in self.events if event.number not in removed]
        self.size += sum(_put(self.events, event) for event in amendment.added)


_Numbered = TypeVar("_Numbered", StoredPart, StoredEvent)


def number_of(one: StoredPart | StoredEvent) -> int:
    return one.number


def _put(kept: list[_Numbered], new: _Numbered) -> int:
    """Insert an entry in order, replacing one with its number; returns the bytes added."""
    place = bisect.bisect_left(kept, new.number, key=number_of)
    replaced = kept[place : place + 1] if place < len(kept) and kept[place].number == new.number else []
    kept[place : place + len(replaced)] = [new]
    return len(new.content) - sum(len(one.content) for one in replaced)
