-- The newest runs first.
SELECT state, reason, updated_at FROM runs ORDER BY no DESC LIMIT ?
