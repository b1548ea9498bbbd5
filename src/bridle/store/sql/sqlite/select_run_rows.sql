-- What an audit needs of runs, in their order; of one, or of those that moved since a time.
SELECT no, run, head, salt FROM runs WHERE (? IS NULL OR run = ?) AND updated_at >= ? ORDER BY no
