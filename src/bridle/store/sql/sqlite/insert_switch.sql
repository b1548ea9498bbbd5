-- Turn a switch on.
INSERT INTO switches (level, tenant, flow, tool, wanted_by, because, generation, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
