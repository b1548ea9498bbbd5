-- The open runs of one worker, the oldest first.
SELECT state FROM runs WHERE worker = ? AND phase <> 'stopped' ORDER BY no LIMIT ?
