-- Whether there is a wish.
SELECT 1 FROM wishes LIMIT 1
