"""The steps of the Redis store as Lua scripts, each done completely or not at all. `redis` runs them and knows their arguments.

Ownership and eviction are decided here. A script's first write is one that a full server refuses, or one that frees memory; after
it, Redis refuses nothing more, so no step stops halfway.
"""

CHANGES = "codex-proxy:changes"  # channel for the id, or the idempotency key, of each change
ALIVE = "codex-proxy:alive:"  # followed by the holder: a silent channel; a holder that subscribes to it is connected

# Keys: `record:ID` a hash; `events:ID` a sorted set by number; `ages` ids by created_at and, within a second, in order of arrival;
# `sizes` bytes by id, events included; `totals` total bytes and number created; `running` ids. Entries that count are records (by
# id), answers (by `claim:KEY`) and traces (by `trace:NAME`): `whose` has the owner of each, `owners` the bytes of each owner,
# `surplus:OWNER` what may be forgotten, traces first, then by its end; `answers` when answers and traces expire.
SHARED = """
local P = 'codex-proxy:'; local AGES, SIZES, TOTALS, RUNNING = P .. 'ages', P .. 'sizes', P .. 'totals', P .. 'running'
local OWNERS, WHOSE, ANSWERS = P .. 'owners', P .. 'whose', P .. 'answers'
local function record(id) return P .. 'record:' .. id end
local function events(id) return P .. 'events:' .. id end
local function items(id) return P .. 'items:' .. id end
local function tell(name) redis.call('PUBLISH', P .. 'changes', name) end
local function running(status) return status == 'queued' or status == 'in_progress' end
local function runs(id) return running(redis.call('HGET', record(id), 'status')) end
local function state(id)
    return redis.call('HMGET', record(id), 'owner', 'created_at', 'status', 'body', 'holder', 'cancel_wanted', 'last_event')
end
local function owned(id, owner) return redis.call('HGET', record(id), 'owner') == owner end
local function extend(life, keys) for _, key in ipairs(keys) do redis.call('PEXPIRE', key, life) end end
local function lease(holder) return P .. 'lease:' .. holder end
local function hold(holder, length) redis.call('SET', lease(holder), length, 'PX', length * 6) end
-- In its lease, or silent for no more than five further ones while its connection is there: asleep, suspended or stopped.
local function alive(holder)
    local left = redis.call('PTTL', lease(holder))
    if left <= 0 then return false end
    local length = tonumber(redis.call('GET', lease(holder)))
    return not length or left > length * 5 or redis.call('PUBLISH', P .. 'alive:' .. holder, '') > 0
end
local function surplus(owner) return P .. 'surplus:' .. owner end
local function weigh(name, growth)
    redis.call('HINCRBY', SIZES, name, growth)
    redis.call('HINCRBY', TOTALS, 'bytes', growth)
    redis.call('ZINCRBY', OWNERS, growth, redis.call('HGET', WHOSE, name) or '')
end
local function strike(name)
    local owner = redis.call('HGET', WHOSE, name) or ''
    weigh(name, 0 - (redis.call('HGET', SIZES, name) or 0)) -- and not -0, which Redis does not read
    redis.call('HDEL', SIZES, name)
    redis.call('HDEL', WHOSE, name)
    redis.call('ZREM', surplus(owner), name)
    redis.call('ZREMRANGEBYSCORE', OWNERS, '-inf', 0)
end
local function forget(id)
    redis.call('DEL', record(id), events(id), items(id))
    strike(id)
    redis.call('ZREM', AGES, id)
    redis.call('SREM', RUNNING, id)
    tell(id)
end
-- Of a claim only its answer goes: that there was one must not be forgotten, or a command would run again.
local function forget_answer(name)
    if redis.call('EXISTS', P .. name) == 1 then redis.call('HSET', P .. name, 'answer', '') end
    strike(name)
    redis.call('ZREM', ANSWERS, name)
end
local function forget_trace(name)
    redis.call('DEL', P .. name)
    strike(name)
    redis.call('ZREM', ANSWERS, name)
end
local function shrink(most)
    local rank = 0
    while tonumber(redis.call('HGET', TOTALS, 'bytes') or 0) > tonumber(most) do
        local owner = redis.call('ZREVRANGE', OWNERS, rank, rank)[1]
        if not owner then return end
        local name = redis.call('ZRANGE', surplus(owner), 0, 0)[1]
        if not name then
            rank = rank + 1
        else
            local kind = string.match(name, '^(%a+):')
            if kind == 'claim' then forget_answer(name) elseif kind == 'trace' then forget_trace(name) else forget(name) end
            redis.call('ZREM', surplus(owner), name)
            rank = 0
        end
    end
end
local function keep(id, growth, life, most)
    local owner = redis.call('HGET', record(id), 'owner')
    redis.call('HSET', WHOSE, id, owner)
    weigh(id, growth)
    if runs(id) then
        redis.call('SADD', RUNNING, id)
    else
        redis.call('SREM', RUNNING, id)
        local clock = redis.call('TIME')
        redis.call('ZADD', surplus(owner), clock[1] + clock[2] / 1000000, id)
    end
    extend(life, {record(id), events(id), items(id), surplus(owner), AGES, SIZES, TOTALS, RUNNING, OWNERS, WHOSE})
    tell(id)
    shrink(most)
end
"""

PING = "return redis.call('PING')"

GET = "return owned(ARGV[1], ARGV[2]) and state(ARGV[1]) or false"

INPUT_ITEMS = "return owned(ARGV[1], ARGV[2]) and redis.call('HGET', record(ARGV[1]), 'input_items') or false"

# `parts` names the fields of the parts in order: a part is never written before one with a lower number.
CONVERSATION = """
if not owned(ARGV[1], ARGV[2]) then return false end
local found = {redis.call('HGET', record(ARGV[1]), 'conversation')}
for name in string.gmatch(redis.call('HGET', record(ARGV[1]), 'parts') or '', '%S+') do
    table.insert(found, redis.call('HGET', record(ARGV[1]), name))
end
return found
"""

CREATE = """
local id, size, life, most, created_at, holder, length = unpack(ARGV, 1, 7)
if redis.call('EXISTS', record(id)) == 1 then return end
redis.call('HSET', record(id), unpack(ARGV, 8))
if length ~= '0' and redis.call('EXISTS', lease(holder)) == 0 then hold(holder, length) end
local count = redis.call('HINCRBY', TOTALS, 'created', 1)
redis.call('ZADD', AGES, string.format('%s.%06d', created_at, count % 1000000), id)
keep(id, size, life, most)
"""

UPDATE = """
local id, size, life, most, status, after, last_event, has_body, body, parts = unpack(ARGV, 1, 10)
local kept = redis.call('HMGET', record(id), 'status', 'body', 'last_event', 'parts')
if not kept[1] then return 0 end
if not running(kept[1]) then return (kept[1] == status and kept[2] == body) and 1 or -1 end
if after ~= '' and tonumber(after) ~= tonumber(kept[3] or -1) then return -1 end
if not running(status) then redis.call('DEL', P .. 'nothing') end -- an end is written however full the server is
local growth = tonumber(size)
redis.call('HSET', record(id), 'status', status, 'last_event', math.max(last_event, kept[3] or -1))
if has_body == '1' then
    growth = growth + #body - #kept[2]
    redis.call('HSET', record(id), 'body', body)
end
local names = kept[4] or ''
for i = 11, 10 + parts, 2 do
    local name = 'part:' .. ARGV[i]
    if redis.call('HSET', record(id), name, ARGV[i + 1]) == 1 then names = names .. ' ' .. name end
end
if parts ~= '0' then redis.call('HSET', record(id), 'parts', names) end
for i = 11 + parts, #ARGV, 2 do
    redis.call('ZREMRANGEBYSCORE', events(id), ARGV[i], ARGV[i])
    redis.call('ZADD', events(id), ARGV[i], ARGV[i + 1])
end
keep(id, growth, life, running(status) and most or math.huge) -- an end makes no room at once: its own readers have yet to see it
return 1
"""

DELETE = """
if not owned(ARGV[1], ARGV[2]) then return 0 end
forget(ARGV[1])
return 1
"""

WANT_CANCEL = """
if not owned(ARGV[1], ARGV[2]) or not runs(ARGV[1]) then return 0 end
redis.call('HSET', record(ARGV[1]), 'cancel_wanted', 1)
tell(ARGV[1])
return 1
"""

# The DEL needs no memory, and after it nothing is refused: a full server does not make live holders look dead. `pulse` exists while
# any holder renews. If it is missing, the server may have been away and live holders' leases may have expired: `calm` then keeps
# everyone from looking for dead holders until all have had time to renew, and `back` lets those of claims count as alive.
RENEW = """
local holder, length = unpack(ARGV)
redis.call('DEL', lease(holder))
hold(holder, length)
if redis.call('EXISTS', P .. 'pulse') == 0 then
    redis.call('SET', P .. 'back', '', 'PX', length)
    if redis.call('SCARD', RUNNING) > 0 then redis.call('SET', P .. 'calm', '', 'PX', length) end
end
redis.call('SET', P .. 'pulse', '', 'PX', math.ceil(length / 2))
"""

IS_ALIVE = """
if redis.call('EXISTS', P .. 'back') == 1 or alive(ARGV[1]) then return 1 end
return redis.call('PUBLISH', P .. 'alive:' .. ARGV[1], '')
"""

ORPHANS = """
local found, living = {}, {}
if redis.call('EXISTS', P .. 'calm') == 1 then return found end
for _, id in ipairs(redis.call('SMEMBERS', RUNNING)) do
    local holder = redis.call('HGET', record(id), 'holder')
    if not holder then
        forget(id)
    else
        if living[holder] == nil then living[holder] = alive(holder) end
        if not living[holder] then table.insert(found, {id, state(id)}) end
    end
end
return found
"""

HELD = """
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', RUNNING)) do
    if redis.call('HGET', record(id), 'holder') == ARGV[1] then table.insert(found, {id, state(id)}) end
end
return found
"""

# Uses the server's clock, which all instances share. A time in the future dates from before the clock was set back.
HIT = """
local key, amount, window = P .. 'rate:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function oldest() return tonumber(redis.call('LINDEX', key, 0)) end
while oldest() and (oldest() <= now - window or oldest() > now) do redis.call('LPOP', key) end
local count = redis.call('LLEN', key)
local granted = count < amount
if granted then
    redis.call('RPUSH', key, string.format('%d', now))
    redis.call('PEXPIRE', key, window)
    count = count + 1
end
return {granted and 1 or 0, math.max(0, amount - count), oldest() and oldest() + window - now or 0}
"""

# An earlier version did not record owners: entries in `ages` without an owner on the books are added to them.
SWEEP = """
local before, life, most, at_once = unpack(ARGV)
local forgotten = 0
redis.call('DEL', P .. 'nothing') -- a full server refuses nothing after this
if redis.call('HSETNX', TOTALS, 'by owner', 1) == 1 then
    for _, id in ipairs(redis.call('ZRANGE', AGES, 0, -1)) do
        local owner = redis.call('HGET', record(id), 'owner')
        if owner and not redis.call('HGET', WHOSE, id) then
            redis.call('HSET', WHOSE, id, owner)
            redis.call('ZINCRBY', OWNERS, redis.call('HGET', SIZES, id) or 0, owner)
            if not runs(id) then redis.call('ZADD', surplus(owner), redis.call('ZSCORE', AGES, id), id) end
            extend(life, {surplus(owner)})
        end
    end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', AGES, '-inf', '(' .. before, 'LIMIT', 0, at_once)) do
    if not runs(id) then
        forget(id)
        forgotten = forgotten + 1
    end
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', ANSWERS, '-inf', redis.call('TIME')[1])) do
    strike(name)
    redis.call('ZREM', ANSWERS, name)
end
for _, id in ipairs(redis.call('SMEMBERS', RUNNING)) do extend(life, {record(id), events(id)}) end
extend(life, {AGES, SIZES, TOTALS, RUNNING, OWNERS, WHOSE, ANSWERS})
shrink(most)
return forgotten
"""

# For when the server itself is full: forgets a tenth of what we keep, and returns the bytes freed.
MAKE_ROOM = """
redis.call('DEL', P .. 'nothing')
local bytes = tonumber(redis.call('HGET', TOTALS, 'bytes') or 0)
shrink(math.floor(bytes * 0.9))
return bytes - tonumber(redis.call('HGET', TOTALS, 'bytes') or 0)
"""

ALL: tuple[str, ...] = (PING, GET, INPUT_ITEMS, CONVERSATION, CREATE, UPDATE, DELETE, WANT_CANCEL)
ALL += (RENEW, IS_ALIVE, ORPHANS, HELD, HIT, SWEEP, MAKE_ROOM)
