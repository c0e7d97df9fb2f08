-- release gives a player back without a save; data_update stays as it is.
--
-- KEYS   1 data_checkout, 2 data_fence
-- ARGV   1 server id, 2 fence of the session
-- Reply  {done}                   the checkout is gone, now or before
--        {fenced, holder, fence}  a higher fence is stored, or the checkout is
--                                 another server's; the holder may be empty
--        {forgotten}              no fence is stored, or a lower one
--
-- Invariant: deletes a checkout of this server and this fence only.
--
-- On forgotten nothing is deleted, not even a checkout of our own: what stands
-- there is older than the session (an old dump, say). The caller sweeps it. The
-- older fence stays behind; a grant that came out below ours for that reason is
-- raised above the database's newest fence when it is loaded.

local server, ours = ARGV[1], tonumber(ARGV[2])
local holder = redis.call('GET', KEYS[1])
local fence = stored_fence(KEYS[2])

if fence and fence > ours then
  return {'fenced', holder or '', text(fence)}
end
if not fence or fence < ours then
  return {'forgotten'}
end
if holder and holder ~= server then
  return {'fenced', holder, text(fence)}
end
if holder then
  redis.call('DEL', KEYS[1])
end
return {'done'}
