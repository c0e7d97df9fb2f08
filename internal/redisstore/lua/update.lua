-- update stores a snapshot of a session that goes on.
--
-- KEYS   1 data_checkout, 2 data_fence, 3 data_update, 4 data_quarantine
-- ARGV   1 server id, 2 fence of the session, 3 the packed snapshot
-- Reply  {done}               stored
--        {done, quarantined}  stored; what was no snapshot was moved aside
--        {fenced, holder, fence}, {forgotten}, {superseded}: see write.lua
--
-- Invariant: data_update never gets older, and only the session with the
-- highest fence writes it.
--
-- The sequence is read from the snapshot itself, so what is compared is what
-- gets stored. The same version again is stored again: the answer was lost.

local server, ours, bytes = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local _, sequence = version_of(bytes)
local refused = standing(server, ours, sequence)
if refused then
  return refused
end
return store(bytes)
