-- Every run that has ended, with its head.
SELECT run, updated_at, head, (SELECT max(seq) FROM events WHERE run_no = no) FROM runs WHERE phase = 'stopped' ORDER BY no
