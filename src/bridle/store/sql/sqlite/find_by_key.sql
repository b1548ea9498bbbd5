-- The run that a caller's key names.
SELECT run FROM runs WHERE tenant = ? AND key = ? AND key <> ''
