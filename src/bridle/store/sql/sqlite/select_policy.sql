-- A policy by its digest.
SELECT canonical FROM policies WHERE digest = ?
