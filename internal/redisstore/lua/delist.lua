-- delist takes a player off the list of those this server may hold.
--
-- KEYS   1 server_checkouts of this server, 2 data_checkout of the player
-- ARGV   1 server id, 2 player
-- Reply  {done}  the player is off the list, now or before
--        {held}  the checkout is this server's: the player stays on it
--
-- Invariant: a checkout never loses its entry on the list, by which alone the
-- next start would find it. The caller may be wrong about the checkout: an old
-- dump brings one back whose session has ended, a crash leaves one that no
-- claim has looked at since, and another worker of this server id may be the
-- one that has the player now.

if redis.call('GET', KEYS[2]) == ARGV[1] then
  return {'held'}
end
redis.call('SREM', KEYS[1], ARGV[2])
return {'done'}
