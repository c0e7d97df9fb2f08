-- What every script of a player begins with; the Go side puts it in front.
--
-- Numbers are at most 2^53 - 1, which Lua's doubles hold exactly, and travel
-- as decimal text, because Redis would cut a Lua number to an integer of its
-- own. Every script reads what it needs before its first write, so an error
-- (a key of the wrong type, a value that is no number) leaves everything as it
-- was.

local LIMIT = 9007199254740992 -- 2^53

-- text writes a number in decimal.
local function text(number)
  return string.format('%.0f', number)
end

-- clock returns the time of Redis in microseconds.
local function clock()
  local now = redis.call('TIME')
  return tonumber(now[1]) * 1000000 + tonumber(now[2])
end

-- expired reports whether a command has come too late: TCP goes on sending what
-- a worker has long given up, and delivers it after an outage, when the worker
-- may have sent the same again, and more. not_after is a time of Redis in
-- microseconds, 0 for none. A script asks this before all else.
local function expired(not_after)
  return not_after > 0 and clock() > not_after
end

-- stored_fence returns the number that data_fence holds, nil when the key is
-- absent. A value that is no fence is an error and never "absent": with an
-- absent fence a script may grant what is not free.
local function stored_fence(key)
  local value = redis.call('GET', key)
  if not value then
    return nil
  end
  local number = string.find(value, '^%d+$') and #value <= 16 and tonumber(value)
  if not number or number >= LIMIT then
    error('the value of ' .. key .. ' is no fence; delete the key when no server has the player', 0)
  end
  return number
end

-- number_at reads 8 bytes, big-endian, at an offset that counts from 0.
local function number_at(bytes, offset)
  local number = 0
  for i = offset + 1, offset + 8 do
    number = number * 256 + string.byte(bytes, i)
  end
  return number
end

-- HEADER is how many leading bytes of a snapshot tell its version; see
-- snapshotcodec, where these offsets are frozen: 4 bytes of magic, the fence
-- at 8, the sequence at 16.
local HEADER = 24

-- version_of returns fence and sequence of a snapshot's leading bytes; 0, 0
-- when there are none; nothing when they are no snapshot of any format.
local function version_of(bytes)
  if bytes == '' then
    return 0, 0
  end
  if #bytes < HEADER or string.sub(bytes, 1, 4) ~= 'SWS\167' then
    return nil
  end
  local fence, sequence = number_at(bytes, 8), number_at(bytes, 16)
  if fence < 1 or fence >= LIMIT or sequence >= LIMIT then
    return nil
  end
  return fence, sequence
end

-- stored_version is version_of what data_update holds.
local function stored_version(key)
  return version_of(redis.call('GETRANGE', key, 0, HEADER - 1))
end

-- raised returns the fence of a new grant: above everything that Redis, the
-- snapshot in it and the caller (floor) know, and not below the clock of Redis
-- in microseconds. So fences rise also when Redis forgot them (the clock went
-- on) and when its clock went back (the numbers did not).
local function raised(fence, version, floor)
  local raise = math.max(clock(), (fence or 0) + 1, (version or 0) + 1, floor + 1)
  if raise >= LIMIT then
    error('the fences of ' .. KEYS[1] .. ' are used up; delete the keys of this player', 0)
  end
  return raise
end

-- grant checks the player out to the server and returns the answer, which
-- begins with the word. KEYS are checkout, fence and update.
local function grant(word, server, fence, floor)
  local update = redis.call('GET', KEYS[3])
  local raise = text(raised(fence, (version_of(update or '')), floor))
  redis.call('SET', KEYS[2], raise)
  redis.call('SET', KEYS[1], server)
  if update then
    return {word, raise, update}
  end
  return {word, raise}
end
