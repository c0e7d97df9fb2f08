-- free ends another server's session on an operator's order.
--
-- KEYS   1 data_checkout, 2 data_fence, 3 data_update
-- ARGV   1 observed holder, 2 observed fence (0: none stored)
-- Reply  {done}                    the player is checked out to nobody, and the
--                                  observed session is fenced
--        {changed, holder, fence}  it is not as observed any more; nothing was
--                                  changed
--
-- Invariant: fences nobody but the session that was observed.
--
-- The fence is raised, or the old session would take its next save for
-- forgotten, resume, and have the player back. Nobody in the checkout and a
-- fence above the observed one is done: this call was done before, or the
-- session ended and another came and went.

local seen_holder, seen = ARGV[1], tonumber(ARGV[2])
local holder = redis.call('GET', KEYS[1])
local stored = stored_fence(KEYS[2])
local fence = stored or 0

if not holder and fence > seen then
  return {'done'}
end
if fence ~= seen or holder and holder ~= seen_holder then
  return {'changed', holder or '', text(fence)}
end
local raise = text(raised(stored, (stored_version(KEYS[3])), 0))
redis.call('SET', KEYS[2], raise)
redis.call('DEL', KEYS[1])
return {'done'}
