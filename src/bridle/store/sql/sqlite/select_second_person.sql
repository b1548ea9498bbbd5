-- Somebody else who has turned a switch of this store before.
SELECT wanted_by FROM switch_changes WHERE act IN ('kill', 'unkill') AND wanted_by NOT IN ('', ?) ORDER BY generation DESC LIMIT 1
