-- Add one line to a journal, with the payload that belongs to it; the hash covers the body alone.
INSERT INTO events (run_no, seq, body, hash, kept_as, kept) VALUES (?, ?, ?, ?, ?, ?)
