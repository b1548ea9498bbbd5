-- Where the chain of the house ends.
SELECT seq, hash FROM house ORDER BY seq DESC LIMIT 1
