-- resume puts a live session back where Redis forgot it.
--
-- KEYS   1 data_checkout, 2 data_fence, 3 data_update
-- ARGV   1 server id, 2 fence of the session, 3 strict (0 or 1), 4 load (0 or 1),
--        5 not_after
-- Reply  {done}                   checkout and fence are ours, now or before
--        {done, bytes}            the same, with data_update as it is (load)
--        {fenced, holder, fence}  a higher fence is stored or data_update
--                                 carries one, or the checkout at our fence is
--                                 another server's; the holder may be empty
--        {forgotten}              no fence is stored, or a lower one, or there
--                                 is no checkout, and nothing is put back
--                                 (strict); nothing was changed
--        {expired}                it is later than not_after; nothing was changed
--
-- Invariant: the stored fence never falls, so of two sessions that resume the
-- younger ends up with the player, in whatever order they come.
--
-- A checkout of another server under a lower fence is overwritten: fences rise
-- with every grant, so ours was granted after it, and Redis shows an older
-- state than the one that granted ours (an old dump, a failover that lost
-- writes). A fence that is higher in data_update than in data_fence means that
-- data_fence was lost or put back by an older session; the snapshot proves
-- that a younger one wrote.
--
-- Strict is for a session whose lease had ended (rule R7): somebody may have
-- taken the player over before Redis forgot, and the fence that would prove it
-- is gone. A checkout that is missing at our own fence tells that the session
-- ended here: its final save was taken, and nothing follows a final save (law
-- L1). So strict puts nothing back at all.
--
-- A resume that comes late would give back a player who was given back since.
--
-- Nothing is written when nothing is missing: a write would wake every waiter.

local server, ours, strict, loads = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4] == '1'
if expired(tonumber(ARGV[5])) then
  return {'expired'}
end
local holder = redis.call('GET', KEYS[1])
local fence = stored_fence(KEYS[2])
local stored = stored_version(KEYS[3])
local highest = math.max(fence or 0, stored or 0)

if highest > ours then
  return {'fenced', holder or '', text(highest)}
end
if fence == ours and holder and holder ~= server then
  return {'fenced', holder, text(fence)}
end
if strict and (fence ~= ours or not holder) then
  return {'forgotten'}
end
local update = loads and redis.call('GET', KEYS[3])
if fence ~= ours then
  redis.call('SET', KEYS[2], text(ours))
end
if holder ~= server then
  redis.call('SET', KEYS[1], server)
end
if update then
  return {'done', update}
end
return {'done'}
