-- A journal with everything that stands beside it.
SELECT seq, body, hash, kept_as, kept FROM events WHERE run_no = ? ORDER BY seq
