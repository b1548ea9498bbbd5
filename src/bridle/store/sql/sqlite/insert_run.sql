-- Open a run.
INSERT INTO runs (run, tenant, key, fingerprint, phase, reason, updated_at, head, salt, state, worker) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
