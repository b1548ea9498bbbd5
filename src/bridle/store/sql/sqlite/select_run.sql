-- One run by its id.
SELECT no, head, salt, state FROM runs WHERE run = ?
