-- Add an entry to the chain of the house.
INSERT INTO house (seq, body, hash) VALUES (?, ?, ?)
