-- The workers that have an open run.
SELECT DISTINCT worker FROM runs WHERE phase <> 'stopped'
