-- The health of every dependency, as each tenant has seen it.
SELECT tenant, dependency, body FROM health ORDER BY tenant, dependency
