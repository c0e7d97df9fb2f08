-- lease_acquire takes a server's lease if nobody has it.
--
-- KEYS   1 server_lease
-- ARGV   1 the lease's value, 2 time to live in milliseconds
-- Reply  {won}                it carries our value, now or before
--        {taken, value, ttl}  somebody else's value; ttl in milliseconds, below
--                             0 when it never ends
--
-- Invariant: never touches a lease of another value.

local value = redis.call('GET', KEYS[1])
if value and value ~= ARGV[1] then
  return {'taken', value, string.format('%.0f', redis.call('PTTL', KEYS[1]))}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {'won'}
