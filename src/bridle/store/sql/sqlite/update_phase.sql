-- The same, when the run entered another phase of its life or has another driver: this touches indexes.
UPDATE runs SET phase = ?, reason = ?, worker = ?, wake_at = ?, updated_at = ?, head = ?, state = ? WHERE no = ?
