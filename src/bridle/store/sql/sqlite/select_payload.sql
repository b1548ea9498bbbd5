-- One payload.
SELECT body FROM payloads WHERE run_no = (SELECT no FROM runs WHERE run = ?) AND name = ?
