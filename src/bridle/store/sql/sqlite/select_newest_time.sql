-- When something happened last.
SELECT max(updated_at) FROM runs
