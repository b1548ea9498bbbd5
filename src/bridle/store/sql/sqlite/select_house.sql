-- The chain of the house, in order.
SELECT seq, body, hash FROM house ORDER BY seq
