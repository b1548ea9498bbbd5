-- Take a wish out.
DELETE FROM wishes WHERE run = ?
