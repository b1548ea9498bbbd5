-- The newest run that asked for the same.
SELECT run FROM runs WHERE tenant = ? AND fingerprint = ? ORDER BY no DESC LIMIT 1
