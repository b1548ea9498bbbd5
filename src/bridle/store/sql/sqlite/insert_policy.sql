-- Keep a policy under its digest.
INSERT INTO policies (digest, canonical) VALUES (?, ?) ON CONFLICT DO NOTHING
