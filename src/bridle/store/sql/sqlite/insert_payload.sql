-- Keep a payload; the first one of a name stays.
INSERT INTO payloads (run_no, name, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING
