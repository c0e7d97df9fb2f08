-- unstored reads data_update and when it runs out at one moment, and changes
-- nothing.
--
-- KEYS   1 data_update
-- ARGV   none
-- Reply  {absent}
--        {present, bytes, ttl}  ttl in milliseconds, below 0 when it never ends

local bytes = redis.call('GET', KEYS[1])
if not bytes then
  return {'absent'}
end
return {'present', bytes, string.format('%.0f', redis.call('PTTL', KEYS[1]))}
