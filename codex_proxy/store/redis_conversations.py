"""The Lua script of the Redis store that changes a conversation; `redis_scripts` has the others and what all of them share."""

import msgspec

from codex_proxy.store.base import Amendment

# Its score in `ages` becomes that of a new record, so `keep` puts it last among what may be forgotten.
AMEND = """
local owner, life, most, id, at, after, last_event, has_body, body, added = unpack(ARGV, 1, 10)
local kept = redis.call('HMGET', record(id), 'owner', 'status', 'body', 'last_event')
if kept[1] ~= owner or kept[2] ~= 'conversation' or tonumber(kept[4]) ~= tonumber(after) then return 0 end
redis.call('HSET', record(id), 'created_at', at, 'last_event', last_event)
local growth = 0
if has_body == '1' then
    growth = #body - #kept[3]
    redis.call('HSET', record(id), 'body', body)
end
local first_removed = 11 + 3 * added
for i = 11, first_removed - 1, 3 do
    growth = growth + ARGV[i + 1]
    redis.call('ZADD', events(id), ARGV[i], ARGV[i + 2])
end
for i = first_removed, #ARGV, 2 do
    if redis.call('ZREMRANGEBYSCORE', events(id), ARGV[i], ARGV[i]) == 1 then growth = growth - ARGV[i + 1] end
end
local count = redis.call('HINCRBY', TOTALS, 'created', 1)
redis.call('ZADD', AGES, string.format('%s.%06d', at, count % 1000000), id)
keep(id, growth, life, most)
return 1
"""

ALL = (AMEND,)


def values(amendment: Amendment) -> list[str | bytes | int]:
    """Return the arguments of AMEND after the owner and the bounds."""
    added = [(event.number, len(event.content), msgspec.msgpack.encode(event)) for event in amendment.added]
    removed = [(event.number, len(event.content)) for event in amendment.removed]
    state = (amendment.id, amendment.at, amendment.after, amendment.last_event)
    body = (int(amendment.body is not None), amendment.body or b"")
    return [*state, *body, len(added), *(part for one in (*added, *removed) for part in one)]
