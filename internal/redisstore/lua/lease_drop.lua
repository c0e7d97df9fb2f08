-- lease_drop gives a lease back.
--
-- KEYS   1 server_lease
-- ARGV   1 the lease's value
-- Reply  {done}  the lease does not carry our value, now or before
--
-- Invariant: never deletes a lease of another value.

if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return {'done'}
