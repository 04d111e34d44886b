"""The Lua scripts of the Redis store for conversations; `redis_scripts` has the others and what all of them share.

`items:ID` is a hash of the items' ids and numbers, so that one is found without reading all. Where it has not as many as there
are items, it is an earlier version's conversation: FIND looks at each item then, and AMEND makes the hash.
"""

import msgspec

from codex_proxy.store.base import Amendment

_SHARED = """
local function conversation(id, owner) return owned(id, owner) and redis.call('HGET', record(id), 'status') == 'conversation' end
local function indexed(id) return redis.call('HLEN', items(id)) == redis.call('ZCARD', events(id)) end
-- The type of a StoredEvent in MessagePack: cmsgpack reads no binary, which its content is.
local function type_of(event)
    local _, last = string.find(event, '\\164type', 1, true)
    local head, one, two = string.byte(event, last + 1, last + 3)
    if head == 0xd9 then return string.sub(event, last + 3, last + 2 + one) end
    if head == 0xda then return string.sub(event, last + 4, last + 3 + one * 256 + two) end
    return string.sub(event, last + 2, last + 1 + head - 0xa0)
end
local function each(id, what)
    for first = 0, redis.call('ZCARD', events(id)) - 1, 100 do
        local part = redis.call('ZRANGE', events(id), first, first + 99, 'WITHSCORES')
        for i = 1, #part, 2 do what(type_of(part[i]), part[i + 1]) end
    end
end
"""

# Its score in `ages` becomes that of a new record, and `keep` puts it last among what may be forgotten.
AMEND = (
    _SHARED
    + """
local owner, life, most, id, at, after, last_event, has_body, body, added = unpack(ARGV, 1, 10)
local kept = redis.call('HMGET', record(id), 'owner', 'status', 'body', 'last_event')
if kept[1] ~= owner or kept[2] ~= 'conversation' or tonumber(kept[4]) ~= tonumber(after) then return 0 end
if not indexed(id) then
    redis.call('DEL', items(id))
    each(id, function(name, number) redis.call('HSET', items(id), name, number) end)
end
redis.call('HSET', record(id), 'created_at', at, 'last_event', last_event)
local growth = 0
if has_body == '1' then
    growth = #body - #kept[3]
    redis.call('HSET', record(id), 'body', body)
end
local first_removed = 11 + 4 * added
for i = 11, first_removed - 1, 4 do
    growth = growth + ARGV[i + 1]
    redis.call('ZADD', events(id), ARGV[i], ARGV[i + 3])
    redis.call('HSET', items(id), ARGV[i + 2], ARGV[i])
end
for i = first_removed, #ARGV, 3 do
    if redis.call('ZREMRANGEBYSCORE', events(id), ARGV[i], ARGV[i]) == 1 then
        growth = growth - ARGV[i + 1]
        redis.call('HDEL', items(id), ARGV[i + 2])
    end
end
local count = redis.call('HINCRBY', TOTALS, 'created', 1)
redis.call('ZADD', AGES, string.format('%s.%06d', at, count % 1000000), id)
keep(id, growth, life, most)
return 1
"""
)

FIND = (
    _SHARED
    + """
local id, owner = ARGV[1], ARGV[2]
if not conversation(id, owner) then return {} end
local found = {}
local function take(number)
    local event = redis.call('ZRANGEBYSCORE', events(id), number, number)[1]
    if event then table.insert(found, event) end
end
if indexed(id) then
    for i = 3, #ARGV do
        local number = redis.call('HGET', items(id), ARGV[i])
        if number then take(number) end
    end
else
    local wanted = {}
    for i = 3, #ARGV do wanted[ARGV[i]] = true end
    each(id, function(name, number) if wanted[name] then take(number) end end)
end
return found
"""
)

EXTENT = (
    _SHARED
    + """
local id, owner = unpack(ARGV)
if not conversation(id, owner) then return false end
return {redis.call('ZCARD', events(id)), redis.call('HGET', SIZES, id) or '0'}
"""
)

ALL = (AMEND, FIND, EXTENT)


def values(amendment: Amendment) -> list[str | bytes | int]:
    """Return the arguments of AMEND after the owner and the bounds."""
    added = [(event.number, len(event.content), event.type, msgspec.msgpack.encode(event)) for event in amendment.added]
    removed = [(event.number, len(event.content), event.type) for event in amendment.removed]
    state = (amendment.id, amendment.at, amendment.after, amendment.last_event)
    body = (int(amendment.body is not None), amendment.body or b"")
    return [*state, *body, len(added), *(part for one in (*added, *removed) for part in one)]
