-- Forget what a worker that is gone has seen.
DELETE FROM acknowledgements WHERE worker = ?
