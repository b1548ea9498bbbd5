-- The states of all runs that have not ended.
SELECT state FROM runs WHERE phase <> 'stopped' ORDER BY no
