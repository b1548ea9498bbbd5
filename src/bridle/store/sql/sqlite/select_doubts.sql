-- The writes that wait for a person; its first condition is the one of the index.
SELECT tenant, tool, key, status, run, call, args, salt, at, doubts FROM intents
WHERE status IN ('open', 'in_doubt') AND status = 'in_doubt' ORDER BY at, rowid
