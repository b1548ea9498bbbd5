-- The workers that have seen a change, and when they said so of it or of a later one.
SELECT worker, at FROM acknowledgements WHERE generation >= ?
