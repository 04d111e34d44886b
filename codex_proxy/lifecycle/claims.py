"""Claims: a repeated Idempotency-Key and body get the same answer for a day, without a second turn; a different body is refused.

A claim belongs to one request. Until its turn is about to begin it is a lease, which expires; from then on it is bound, and records
what became of the turn: its answer, or the response record that has it. A refusal before the turn begins frees the claim.
"""

import asyncio
import hashlib
import re

import msgspec

from codex_proxy.dialects.responses import stored
from codex_proxy.errors import IdempotencyConflict, InvalidRequest
from codex_proxy.job import Job
from codex_proxy.lifecycle.instance import may_live, new_holder
from codex_proxy.lifecycle.outbox import Outbox
from codex_proxy.store.base import RUNNING, Claim, Store

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_FOR = 24 * 3600.0  # seconds
_LEASE = 60.0  # seconds: fetching images takes up to 30, then the record is created
_LOOKED_EVERY = 0.5  # seconds, while the first request with this key is still running
_RELEASE_LATE = 9.0  # seconds within which the outbox has tried twice
_ANSWER_LATE = 3.0  # seconds within which an answer should follow the end of its record
LARGEST = 16 * 1024 * 1024  # bytes: the largest answer that is stored

_ANOTHER_BODY = "This Idempotency-Key was already used with a different request."
_BROKEN_OFF = "The first request with this Idempotency-Key was cancelled by its client; it is not run again."
_NO_ANSWER = "The first request with this Idempotency-Key left no answer; it is not run again."
_NOT_KEPT = "The answer to the first request with this Idempotency-Key is no longer stored; it is not run again."
TOO_LARGE = "The answer to the first request with this Idempotency-Key was too large to store; it is not run again."


class KeptAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer to replay: its status, its headers, and its body or, for a stream, its frames (event or None, data).

    `follows` is the id of the response whose record is the answer; `refused` says why there is no answer to give.
    """

    status: int = 200
    headers: dict[str, str] = {}
    body: str = ""
    frames: tuple[tuple[str | None, str], ...] = ()
    follows: str | None = None
    refused: str | None = None


class Held:
    """A claim that this request holds: bound before its turn begins, closed when the request ends."""

    def __init__(self, store: Store, outbox: Outbox, key: str, instance: str) -> None:
        self.holder = new_holder(instance)
        self.job: Job | None = None  # the job started under the claim
        self.recorded = False  # the record of the response is the answer, also if its client has not heard of it
        self._store = store
        self._outbox = outbox
        self._key = key
        self._claimed = ("", "")  # owner, fingerprint
        self._answered = False
        self._bound = False  # or possibly bound: the store's reply can get lost

    async def claim(self, owner: str, fingerprint: str) -> Claim | None:
        self._claimed = (owner, fingerprint)
        return await self._store.claim(self._key, owner, fingerprint, self.holder, _LEASE)

    async def bind(self, response_id: str | None) -> None:
        """Bind the claim, before the turn begins; if its lease has expired, or the store has lost it, it is claimed again first.

        Raises IdempotencyConflict if another request has the key by now.
        """
        self._bound = True
        while not await self._store.bind(self._key, self.holder, _KEPT_FOR, response_id):
            if await self.claim(*self._claimed) is not None:
                raise _conflict("Another request with this Idempotency-Key came first.")

    def answer(self, answer: KeptAnswer) -> None:
        """Store the answer. Only the first call has an effect."""
        if self._answered:
            return
        self._answered = True
        content = msgspec.json.encode(answer)
        if len(content) > LARGEST:
            content = msgspec.json.encode(KeptAnswer(refused=TOO_LARGE))
        self._outbox.put("an answer", lambda: self._store.answer(self._key, self.holder, content), _KEPT_FOR)

    def free(self) -> None:
        """Free the key: nothing was done under it, and nothing will be."""
        if not self._answered:
            self._answered = True
            patience = _KEPT_FOR if self._bound else 2 * _LEASE  # a lease expires by itself
            self._outbox.put("the release of a key", lambda: self._store.release(self._key, self.holder), patience)

    def close(self) -> None:
        """End the request; without an answer, the claim records that it was broken off, unless there is a record that answers."""
        if self.recorded:
            return
        if self.job is None or (self.job.ended and not self.job.begun):
            self.free()
        self.answer(KeptAnswer(refused=_BROKEN_OFF))


class Claims:
    """The claims of the instance of this name. `patience` is how many seconds a repetition waits for the first request to end."""

    def __init__(self, store: Store, outbox: Outbox, patience: float, instance: str) -> None:
        self._store = store
        self._instance = instance
        self._outbox = outbox
        self._patience = patience

    async def enter(self, owner: str, path: str, given: str, fingerprint: str) -> Held | KeptAnswer:
        """Claim a key, or wait for and return the answer to the first request with this key.

        Raises InvalidRequest, IdempotencyConflict, StoreUnavailable, StorageFull.
        """
        if not _KEY.fullmatch(given):
            raise InvalidRequest("An Idempotency-Key must be 1 to 255 printable ASCII characters.", param="Idempotency-Key")
        key = hashlib.sha256(f"{owner}\n{path}\n{given}".encode()).hexdigest()
        held = Held(self._store, self._outbox, key, self._instance)
        try:
            async with asyncio.timeout(self._patience):
                found = await self._first_answer(held, key, owner, fingerprint)
        except TimeoutError:  # its server may have died: nobody knows how far it got
            held.free()
            raise _conflict(_NO_ANSWER) from None
        except BaseException:  # a claim that failed or was cancelled may still have been stored
            held.free()
            raise
        if found is not None and found.refused is not None:
            raise _conflict(found.refused)
        return found or held

    async def _first_answer(self, held: Held, key: str, owner: str, fingerprint: str) -> KeptAnswer | None:
        clock = asyncio.get_running_loop().time
        late_at = None
        while (claim := await held.claim(owner, fingerprint)) is not None:
            if claim.fingerprint != fingerprint:
                raise _conflict(_ANOTHER_BODY)
            if claim.answer is not None:
                return msgspec.json.decode(claim.answer, type=KeptAnswer) if claim.answer else KeptAnswer(refused=_NOT_KEPT)
            if claim.response_id is not None:
                record = await self._store.get(owner, claim.response_id)
                if record is None:  # perhaps refused before its turn began: then the key is freed soon
                    late_at = late_at or clock() + _RELEASE_LATE
                    if clock() > late_at:
                        return KeptAnswer(refused=_NOT_KEPT)
                elif record.status != "queued" and stored.is_background(record.body):
                    return KeptAnswer(follows=record.id)
                elif record.status not in RUNNING:  # its answer follows shortly, unless its server died
                    late_at = late_at or clock() + _ANSWER_LATE
                    if clock() > late_at:
                        return KeptAnswer(follows=record.id)
            elif not await may_live(self._store, claim, self._instance):
                late_at = late_at or clock() + _LEASE  # by then it is free, unless its turn had begun
                if clock() > late_at:
                    return KeptAnswer(refused=_NO_ANSWER)
            await self._store.changed(key, _LOOKED_EVERY)
        return None


def _conflict(message: str) -> IdempotencyConflict:
    # The turn is that of the first request: retrying would change nothing.
    return IdempotencyConflict(message, param="Idempotency-Key", begun=True)
