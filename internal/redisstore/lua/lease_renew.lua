-- lease_renew prolongs a lease that is still ours.
--
-- KEYS   1 server_lease
-- ARGV   1 the lease's value, 2 time to live in milliseconds
-- Reply  {renewed, time}   by the clock of Redis, in microseconds; the time is
--                          left out when the user may not ask for it
--        {missing}         there is no lease: it ran out, or Redis forgot
--        {foreign, value}  somebody else's value
--
-- Invariant: never touches a lease of another value, and never makes one: that
-- a lease was missing must reach the caller (rule R1).

local value = redis.call('GET', KEYS[1])
if not value then
  return {'missing'}
end
if value ~= ARGV[1] then
  return {'foreign', value}
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local now = redis.pcall('TIME')
if now.err then
  return {'renewed'}
end
return {'renewed', string.format('%.0f', tonumber(now[1]) * 1000000 + tonumber(now[2]))}
