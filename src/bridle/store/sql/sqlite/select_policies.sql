-- Every policy that is kept.
SELECT digest, canonical FROM policies ORDER BY digest
