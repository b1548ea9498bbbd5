-- Turn a switch off.
DELETE FROM switches WHERE level = ? AND tenant = ? AND flow = ? AND tool = ?
