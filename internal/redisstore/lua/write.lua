-- What update and check_in share; it stands between common.lua and either.
--
-- standing compares a session's snapshot with what is stored. KEYS are
-- checkout, fence, update and quarantine.
--
-- It returns an answer when the snapshot must not be stored:
--   {fenced, holder, fence}  a higher fence is stored, or data_update carries
--                            one (that it was granted is proof enough, though
--                            data_fence may have been lost since), or the
--                            checkout is another server's; the holder is empty
--                            when the player is checked out to nobody
--   {forgotten}              no fence is stored, or a lower one, or ours
--                            without the checkout: Redis lost what it knew
--   {superseded}             a newer capture of this session is stored
-- and true as second value when a check-in of this very version was done before.
local function standing(server, ours, sequence)
  local holder = redis.call('GET', KEYS[1])
  local fence = stored_fence(KEYS[2])
  local stored, stored_sequence = stored_version(KEYS[3])
  local highest = math.max(fence or 0, stored or 0)
  local same = stored == ours and stored_sequence == sequence
  local given_back = same and fence and (fence > ours or fence == ours and not holder)

  if highest > ours then
    return {'fenced', holder or '', text(highest)}, given_back
  end
  if not fence or fence < ours then
    return {'forgotten'}
  end
  if holder and holder ~= server then
    return {'fenced', holder, text(fence)}
  end
  if stored == ours and stored_sequence > sequence then
    return {'superseded'}
  end
  if not holder then
    return {'forgotten'}, given_back
  end
  return nil
end

-- store puts the snapshot into data_update and returns the answer {done}, with
-- a second word when something was in the way.
--
-- What is older or equal goes: it is an earlier capture. What is no snapshot
-- at all may be one that a later program or another tool wrote, so it is not
-- destroyed; and it must not keep this player from being saved either. It is
-- moved to data_quarantine, of which the newest 8 values are kept.
--
-- A plain SET also ends the expiry that the older version may have had.
local function store(bytes)
  local answer = {'done'}
  if not stored_version(KEYS[3]) then
    local foreign = redis.call('GET', KEYS[3])
    redis.call('RPUSH', KEYS[4], foreign)
    redis.call('LTRIM', KEYS[4], -8, -1)
    answer = {'done', 'quarantined'}
  end
  redis.call('SET', KEYS[3], bytes)
  return answer
end
