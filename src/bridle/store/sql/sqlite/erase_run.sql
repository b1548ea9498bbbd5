-- Erase the salt of a run, and the fingerprint by which a guess at its input could be tested.
UPDATE runs SET salt = X'', fingerprint = '', head = ?, state = ? WHERE no = ?
