-- A worker that is gone.
DELETE FROM workers WHERE worker = ?
