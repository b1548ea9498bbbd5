-- The newest change of a switch; 0 where there was none.
SELECT coalesce(max(generation), 0) FROM switch_changes
