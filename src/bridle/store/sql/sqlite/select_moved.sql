-- Runs that moved since a time, in their order.
SELECT no, state FROM runs WHERE updated_at >= ? ORDER BY no
