-- The two keys of a pair carry the same time. Pools made before keys were rotated have one pair, whose times differ by microseconds.
UPDATE user_pool_keys SET created = (SELECT min(k.created) FROM user_pool_keys k WHERE k.pool_id = user_pool_keys.pool_id AND k.use <> 'secret')
WHERE use <> 'secret' AND (SELECT count(*) FROM user_pool_keys k WHERE k.pool_id = user_pool_keys.pool_id AND k.use <> 'secret') = 2;
