-- The heads of the runs that have not ended.
SELECT run, head, (SELECT max(seq) FROM events WHERE run_no = no) FROM runs WHERE phase <> 'stopped' ORDER BY no
