-- The writes of a run of which nobody knows yet how they ended.
SELECT tenant, tool, key, status, run, call, args, salt, at, doubts FROM intents
WHERE run = ? AND status IN ('open', 'in_doubt') ORDER BY rowid
