-- The write under a key, or under what an erasure left of it.
SELECT tenant, tool, key, status, run, call, args, salt, at, doubts FROM intents WHERE tenant = ? AND tool = ? AND key IN (?, ?)
