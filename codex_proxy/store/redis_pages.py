"""The Lua scripts of the Redis store that read a part of much: its size, a page of a list, of a stream or of a conversation.

`redis_scripts` has what all scripts share.
"""

_SHARED = """
-- Up to `limit` events beyond a number, about `most` bytes of them but at least one; and 1 if there are more. Only its content says
-- how large an event is: few are read at a time, one by one once there are many bytes.
local function gathered(id, order, beyond, limit, most)
    local command, first, last = 'ZRANGEBYSCORE', '-inf', '+inf'
    if order == 'desc' then command, first, last = 'ZREVRANGEBYSCORE', '+inf', '-inf' end
    if beyond ~= '' then first = '(' .. beyond end
    local found, size, step = {}, 0, 1
    while true do
        local near = redis.call(command, events(id), first, last, 'WITHSCORES', 'LIMIT', 0, step)
        for i = 1, #near, 2 do
            size = size + #near[i]
            if #found == limit or (#found > 0 and size > most) then return found, 1 end
            table.insert(found, near[i])
        end
        if #near < 2 * step then return found, 0 end
        first = '(' .. near[#near]
        step = size < most / 8 and math.min(2 * step, 64) or 1
    end
end
"""

SIZES_OF = """
local id, owner = unpack(ARGV)
if not owned(id, owner) or redis.call('HGET', record(id), 'status') == 'conversation' then return false end
local function size(field) return redis.call('HSTRLEN', record(id), field) end
local conversation = size('conversation')
for name in string.gmatch(redis.call('HGET', record(id), 'parts') or '', '%S+') do conversation = conversation + size(name) end
return {size('body'), size('input_items'), conversation}
"""

LATEST = """
local owner, after, limit, looked_at, most = unpack(ARGV)
local found, place, size = {}, '', 0
local before = after == '' and '+inf' or '(' .. after
local page = redis.call('ZREVRANGEBYSCORE', AGES, before, '-inf', 'WITHSCORES', 'LIMIT', 0, looked_at)
for i = 1, #page, 2 do
    local id = page[i]
    local its = redis.call('HMGET', record(id), 'owner', 'status')
    if its[1] == owner and its[2] ~= 'conversation' then
        size = size + redis.call('HSTRLEN', record(id), 'body') + redis.call('HSTRLEN', record(id), 'input_items')
        if #found > 0 and size > tonumber(most) then
            place = page[i - 1]
            break
        end
        table.insert(found, {id, state(id), redis.call('HGET', record(id), 'input_items')})
    end
    if #found == tonumber(limit) or i + 1 == 2 * looked_at then
        place = page[i + 1]
        break
    end
end
return {found, place}
"""

EVENTS = (
    _SHARED
    + """
local id, owner, after, limit, most = unpack(ARGV)
if not owned(id, owner) then return {} end
local found = gathered(id, 'asc', after, tonumber(limit), tonumber(most))
return found
"""
)

PAGE = (
    _SHARED
    + """
local id, owner, limit, order, beyond, most = unpack(ARGV)
if not owned(id, owner) or redis.call('HGET', record(id), 'status') ~= 'conversation' then return {{}, 0} end
return {gathered(id, order, beyond, tonumber(limit), tonumber(most))}
"""
)

ALL = (SIZES_OF, LATEST, EVENTS, PAGE)
