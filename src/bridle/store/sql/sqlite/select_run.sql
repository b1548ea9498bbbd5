-- One run by its id.
SELECT no, head, salt, state, worker FROM runs WHERE run = ?
