-- lease_swap replaces the value of a lease by another one.
--
-- KEYS   1 server_lease
-- ARGV   1 the value seen, 2 the new value, 3 time to live in milliseconds
-- Reply  {renewed}         it carries the new value, now or before
--        {missing}         there is no lease: it ran out, or Redis forgot
--        {foreign, value}  neither value
--
-- Invariant: never touches a lease of any other value, and never makes one. Of
-- several callers who saw the same value, one wins.

local value = redis.call('GET', KEYS[1])
if not value then
  return {'missing'}
end
if value ~= ARGV[1] and value ~= ARGV[2] then
  return {'foreign', value}
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {'renewed'}
