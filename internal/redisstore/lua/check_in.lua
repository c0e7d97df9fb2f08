-- check_in stores the final snapshot of a session and gives the player back.
--
-- KEYS   1 data_checkout, 2 data_fence, 3 data_update, 4 data_quarantine
-- ARGV   1 server id, 2 fence of the session, 3 the packed snapshot
-- Reply  as update; {done} also when it was done before
--
-- Invariant: the checkout goes only together with the data it protects (law
-- L5), and only ours.
--
-- A repeat after a lost answer finds the checkout gone. When data_update is
-- this very version, the first call was done. That holds also when the fence
-- is higher by now: the removal of the checkout wakes whoever waits, and the
-- next server has mostly claimed before a repeat arrives. The snapshot was
-- accepted under the highest fence of its time, and the next session loaded
-- it: calling it refused would be untrue, and would file the player's current
-- state as a conflict.

local server, ours, bytes = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local _, sequence = version_of(bytes)
local refused, given_back = standing(server, ours, sequence)
if given_back then
  return {'done'}
end
if refused then
  return refused
end
local answer = store(bytes)
redis.call('DEL', KEYS[1])
return answer
