-- The wishes there are, with the workers they are for.
SELECT wishes.run, wanted_by, worker FROM wishes LEFT JOIN runs ON runs.run = wishes.run
