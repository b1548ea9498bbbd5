-- The writes by key of one run; no index helps, so it is asked of runs that wrote.
SELECT tenant, tool, key, status, run, call, args, salt, at, doubts FROM intents WHERE run = ?
