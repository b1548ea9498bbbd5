-- A journal from a place on.
SELECT seq, body, hash FROM events WHERE run_no = ? AND seq > ? ORDER BY seq
