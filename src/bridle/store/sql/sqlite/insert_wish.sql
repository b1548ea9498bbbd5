-- Ask the owner of a run to cancel it.
INSERT INTO wishes (run, wanted_by, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING
