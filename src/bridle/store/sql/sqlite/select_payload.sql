-- One payload; the first of its name.
SELECT kept FROM events WHERE run_no = (SELECT no FROM runs WHERE run = ?) AND kept_as = ? ORDER BY seq LIMIT 1
