-- Erase what stands beside a journal; the names stay.
UPDATE events SET kept = NULL WHERE run_no = ? AND kept IS NOT NULL
