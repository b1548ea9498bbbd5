-- Write the health of a dependency.
INSERT INTO health (tenant, dependency, body) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body
