-- A process that works on this store, from its opening on.
INSERT INTO workers (worker, pid, host, since) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET since = excluded.since
