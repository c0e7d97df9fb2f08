-- claim checks a player out, if nobody else has the player.
--
-- KEYS   1 data_checkout, 2 data_fence, 3 data_update
-- ARGV   1 server id, 2 allow_unknown (0 or 1), 3 floor (a fence, 0 for none),
--        4 not_after
-- Reply  {unknown}                no fence is stored: a new player, or Redis
--                                 forgot; nothing was changed
--        {held, holder, fence}    another server has the player; the fence is
--                                 0 when none is stored
--        {granted, fence}         ours, and there is no data_update
--        {granted, fence, bytes}  ours, with data_update as it is
--        {expired}                it is later than not_after; nothing was changed
--
-- Invariant: one grant per fence, and the stored fence never falls.
--
-- A checkout that is ours already is granted again with a higher fence: it was
-- left by an earlier session, or by the same call whose answer was lost. So a
-- claim that comes late fences off the session that its own repetition began.
-- data_update stays where it is: who reads it may crash before it applies it.

local server, allow_unknown, floor = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3])
if expired(tonumber(ARGV[4])) then
  return {'expired'}
end
local holder = redis.call('GET', KEYS[1])
local fence = stored_fence(KEYS[2])

if not fence and not allow_unknown then
  return {'unknown'}
end
if holder and holder ~= server then
  return {'held', holder, text(fence or 0)}
end
return grant('granted', server, fence, floor)
