-- lease_read reads any server's lease at one moment and changes nothing.
--
-- KEYS   1 server_lease
-- ARGV   none
-- Reply  {absent}
--        {present, value, ttl}  ttl in milliseconds, below 0 when it never ends

local value = redis.call('GET', KEYS[1])
if not value then
  return {'absent'}
end
return {'present', value, string.format('%.0f', redis.call('PTTL', KEYS[1]))}
