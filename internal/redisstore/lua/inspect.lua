-- inspect reads everything about a player at one moment and changes nothing.
--
-- KEYS   1 data_checkout, 2 data_fence, 3 data_update
-- ARGV   none
-- Reply  {held, holder, fence, size, fence of update, sequence of update, ttl}
--        held is 0 or 1, fence is 0 when none is stored; size is that of
--        data_update, 0 when it is absent; its version is 0, 0 when it is
--        absent or no snapshot; ttl is in milliseconds and below 0 when it
--        does not expire or is absent

local holder = redis.call('GET', KEYS[1])
local fence = stored_fence(KEYS[2])
local stored, sequence = stored_version(KEYS[3])
return {
  holder and '1' or '0', holder or '', text(fence or 0),
  text(redis.call('STRLEN', KEYS[3])), text(stored or 0), text(sequence or 0),
  text(redis.call('PTTL', KEYS[3])),
}
