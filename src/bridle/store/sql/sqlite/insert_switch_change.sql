-- One more line in the history of the kill switch; its number is its generation.
INSERT INTO switch_changes (act, level, tenant, flow, tool, wanted_by, account, because, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
