"""The Lua scripts of the Redis store for traces of conversations; `redis_scripts` has what all of them share."""

_BEFORE_ALL_ELSE = 10_000_000_000  # seconds: traces are forgotten before any record

KEEP = f"""
local owner, name, identity, content, ttl, instead, life, most = unpack(ARGV)
local trace = 'trace:' .. name
local there = redis.call('HGET', P .. trace, 'identity')
if there == identity then return end
redis.call('HSET', P .. trace, 'owner', owner, 'identity', there and '' or identity, 'content', there and '' or content)
redis.call('PEXPIRE', P .. trace, ttl)
if redis.call('HGET', SIZES, trace) then strike(trace) end
local clock = redis.call('TIME')
redis.call('HSET', WHOSE, trace, owner)
weigh(trace, there and 0 or #content)
redis.call('ZADD', surplus(owner), clock[1] + clock[2] / 1000000 - {_BEFORE_ALL_ELSE}, trace)
redis.call('ZADD', ANSWERS, clock[1] + math.ceil(ttl / 1000), trace)
local former = redis.call('HMGET', P .. 'trace:' .. instead, 'owner', 'identity')
if former[1] == owner and former[2] ~= '' then forget_trace('trace:' .. instead) end
extend(life, {{surplus(owner), ANSWERS, SIZES, TOTALS, OWNERS, WHOSE}})
shrink(most)
"""

FIND = """
local ambiguous = {}
for i = 2, #ARGV do
    local found = redis.call('HMGET', P .. 'trace:' .. ARGV[i], 'owner', 'identity')
    if found[1] == ARGV[1] and found[2] == '' then
        table.insert(ambiguous, ARGV[i])
    elseif found[1] == ARGV[1] then
        return {ARGV[i], redis.call('HGET', P .. 'trace:' .. ARGV[i], 'content'), ambiguous}
    end
end
return {'', '', ambiguous}
"""

ALL = (KEEP, FIND)
