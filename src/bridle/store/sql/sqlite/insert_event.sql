-- Add one line to a journal.
INSERT INTO events (run_no, seq, body, hash) VALUES (?, ?, ?, ?)
