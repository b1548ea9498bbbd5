-- Take the wishes out.
DELETE FROM wishes RETURNING run, wanted_by
