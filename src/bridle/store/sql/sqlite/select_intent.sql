-- The write under a key.
SELECT tenant, tool, key, status, run, call, args, salt, at, doubts FROM intents WHERE tenant = ? AND tool = ? AND key = ?
