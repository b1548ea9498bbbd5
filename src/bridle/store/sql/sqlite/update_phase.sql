-- The same, when the run entered another phase of its life: this touches an index.
UPDATE runs SET phase = ?, reason = ?, updated_at = ?, head = ?, state = ? WHERE no = ?
