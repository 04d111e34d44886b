"""The Lua scripts of the Redis store for idempotency keys; `redis_scripts` has the others and what all of them share."""

from codex_proxy.store.base import Claim

CLAIM = """
local key, owner, fingerprint, holder, lease = unpack(ARGV)
local claim = P .. 'claim:' .. key
if redis.call('EXISTS', claim) == 1 then
    if redis.call('HGET', claim, 'holder') == holder then return false end
    return redis.call('HMGET', claim, 'fingerprint', 'answer', 'response_id', 'holder')
end
redis.call('HSET', claim, 'owner', owner, 'fingerprint', fingerprint, 'holder', holder)
redis.call('PEXPIRE', claim, lease)
return false
"""

BIND = """
local key, holder, ttl, response_id = unpack(ARGV)
local claim = P .. 'claim:' .. key
if redis.call('HGET', claim, 'holder') ~= holder then return 0 end
if response_id then redis.call('HSET', claim, 'response_id', response_id) end
redis.call('PEXPIRE', claim, ttl)
tell(key)
return 1
"""

ANSWER = """
local key, holder, answer, life, most = unpack(ARGV)
local name = 'claim:' .. key
if redis.call('HGET', P .. name, 'holder') ~= holder then return end
redis.call('DEL', P .. 'nothing') -- as an end
redis.call('HSET', P .. name, 'answer', answer)
if redis.call('HGET', SIZES, name) then strike(name) end
local owner, clock = redis.call('HGET', P .. name, 'owner'), redis.call('TIME')
redis.call('HSET', WHOSE, name, owner)
weigh(name, #answer)
redis.call('ZADD', surplus(owner), clock[1] + clock[2] / 1000000, name) -- in the order of their coming
redis.call('ZADD', ANSWERS, clock[1] + math.ceil(redis.call('PTTL', P .. name) / 1000), name)
extend(life, {surplus(owner), ANSWERS, SIZES, TOTALS, OWNERS, WHOSE})
tell(key)
shrink(most)
"""

RELEASE = """
local claim = P .. 'claim:' .. ARGV[1]
if redis.call('HGET', claim, 'holder') == ARGV[2] and redis.call('HEXISTS', claim, 'answer') == 0 then
    redis.call('DEL', claim)
    tell(ARGV[1])
end
"""

ALL = (CLAIM, BIND, ANSWER, RELEASE)


def claim(fingerprint: bytes, answer: bytes | None, response_id: bytes | None, holder: bytes | None) -> Claim:
    """Build a claim from the result of CLAIM."""
    named = None if response_id is None else response_id.decode()
    return Claim(fingerprint.decode(), answer, named, (holder or b"").decode())
