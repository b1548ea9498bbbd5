-- How many payloads a run has, and how large they are.
SELECT count(kept), coalesce(sum(length(kept)), 0) FROM events WHERE run_no = ?
