-- Every switch that is on.
SELECT level, tenant, flow, tool, wanted_by, because, generation, at FROM switches
