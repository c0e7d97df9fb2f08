-- sweep removes a checkout that carries the given server id, whatever its
-- fence. It is for sessions that are known to have ended and whose fence is
-- not known: those of an earlier start, and claims whose answer was lost.
--
-- KEYS   1 data_checkout
-- ARGV   1 server id
-- Reply  {done}  no checkout of this server is left
--
-- Invariant: never deletes another server's checkout.

if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return {'done'}
