-- Runs that ended before a time, and whose payloads were not erased; from a place on.
SELECT no, run FROM runs WHERE no > ? AND phase = 'stopped' AND updated_at < ? AND salt <> X'' AND (? IS NULL OR tenant = ?) ORDER BY no LIMIT ?
