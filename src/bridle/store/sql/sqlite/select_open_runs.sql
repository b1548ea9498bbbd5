-- The newest runs that have not ended.
SELECT state, reason, updated_at FROM runs WHERE phase <> 'stopped' ORDER BY no DESC LIMIT ?
