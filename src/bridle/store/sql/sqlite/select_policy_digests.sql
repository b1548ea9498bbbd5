-- The digests of every policy that is kept.
SELECT digest FROM policies ORDER BY digest
