-- take_over checks a player out although another server has the player.
--
-- KEYS   1 data_checkout, 2 data_fence, 3 data_update
-- ARGV   1 server id, 2 observed holder, 3 observed fence (0: none stored),
--        4 floor, 5 not_after
-- Reply  {taken, fence}          ours, taken from the observed holder
--        {taken, fence, bytes}   the same, with data_update as it is
--        {expired}              it is later than not_after; nothing was changed
--        else as claim without allow_unknown
--
-- Invariant: nobody is fenced but the session that was observed. When checkout
-- or fence have changed since, somebody acted: the caller gets what a claim
-- would get, and must look again before it takes anything.
--
-- An observed fence of 0 is taken over as well: a checkout whose fence is lost
-- would otherwise stay for ever.

local server, seen_holder, seen_fence, floor = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if expired(tonumber(ARGV[5])) then
  return {'expired'}
end
local holder = redis.call('GET', KEYS[1])
local fence = stored_fence(KEYS[2])

if holder and holder == seen_holder and (fence or 0) == seen_fence then
  return grant(holder == server and 'granted' or 'taken', server, fence, floor)
end
if not fence then
  return {'unknown'}
end
if holder and holder ~= server then
  return {'held', holder, text(fence)}
end
return grant('granted', server, fence, floor)
