-- sweep removes a checkout that carries the given server id, whatever its
-- fence. It is for sessions that are known to have ended and whose fence is
-- not known: those of an earlier start, and claims whose answer was lost.
--
-- KEYS   1 data_checkout
-- ARGV   1 server id, 2 not_after
-- Reply  {done}     no checkout of this server is left
--        {expired}  it is later than not_after; nothing was changed
--
-- Invariant: never deletes another server's checkout.
--
-- One that comes late would free the player whom a newer session of ours has.

if expired(tonumber(ARGV[2])) then
  return {'expired'}
end
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return {'done'}
