-- Write a run's folded row beside its journal.
UPDATE runs SET updated_at = ?, head = ?, state = ? WHERE no = ?
