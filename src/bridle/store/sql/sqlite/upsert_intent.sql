-- Claim a key, or say how far its write has come.
INSERT INTO intents (tenant, tool, key, status, run, call, args, salt, at, doubts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, tool, key) DO UPDATE SET status = excluded.status, run = excluded.run, call = excluded.call,
    args = excluded.args, salt = excluded.salt, at = excluded.at, doubts = excluded.doubts
