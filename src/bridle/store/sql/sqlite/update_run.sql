-- Write a run's folded row beside its journal.
UPDATE runs SET phase = ?, reason = ?, updated_at = ?, head = ?, state = ? WHERE no = ?
