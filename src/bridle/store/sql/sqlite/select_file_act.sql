-- What was last noted of a KILL file at a level.
SELECT act FROM switch_changes WHERE wanted_by = ? AND level = ? AND act IN ('file on', 'file off') ORDER BY generation DESC LIMIT 1
