-- expire lets data_update run out once the database has it.
--
-- KEYS   1 data_update
-- ARGV   1 fence, 2 sequence, 3 time to live in milliseconds
-- Reply  {done} or {other}: data_update is absent or another version
--
-- Invariant: only the very version that the caller knows to be stored expires.

local fence, sequence = stored_version(KEYS[1])
if fence == tonumber(ARGV[1]) and sequence == tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {'done'}
end
return {'other'}
