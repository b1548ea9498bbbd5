-- The newest changes of the kill switch.
SELECT generation, act, level, tenant, flow, tool, wanted_by, account, because, at FROM switch_changes ORDER BY generation DESC LIMIT ?
