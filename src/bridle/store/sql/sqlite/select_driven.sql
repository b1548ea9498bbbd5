-- The open runs of one worker that need not wait, the oldest first.
SELECT state FROM runs WHERE worker = ? AND phase <> 'stopped' AND wake_at <= ? ORDER BY no LIMIT ?
