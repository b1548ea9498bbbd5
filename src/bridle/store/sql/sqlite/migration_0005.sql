-- The kill switch: scopes and generations, a history that is only added to, and which worker acknowledged what.
CREATE TABLE switch_changes (
    generation INTEGER PRIMARY KEY,
    act TEXT NOT NULL,
    level TEXT NOT NULL,
    tenant TEXT NOT NULL,
    flow TEXT NOT NULL,
    tool TEXT NOT NULL,
    wanted_by TEXT NOT NULL,
    account TEXT NOT NULL,
    because TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE TRIGGER switch_changes_stay BEFORE UPDATE ON switch_changes
BEGIN SELECT RAISE(ABORT, 'the history of the kill switch is only added to'); END;
CREATE TRIGGER switch_changes_are_kept BEFORE DELETE ON switch_changes
BEGIN SELECT RAISE(ABORT, 'the history of the kill switch is only added to'); END;
INSERT INTO switch_changes (act, level, tenant, flow, tool, wanted_by, account, because, at)
SELECT 'kill', level, tenant, '', '', '', '', 'set before there was a history', 0 FROM switches WHERE level <> 'off';
DROP TABLE switches;
CREATE TABLE switches (
    tenant TEXT NOT NULL,
    flow TEXT NOT NULL,
    tool TEXT NOT NULL,
    level TEXT NOT NULL,
    generation INTEGER NOT NULL,
    wanted_by TEXT NOT NULL,
    because TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (tenant, flow, tool, level)
) STRICT, WITHOUT ROWID;
INSERT INTO switches (tenant, flow, tool, level, generation, wanted_by, because, at)
SELECT tenant, flow, tool, level, generation, wanted_by, because, at FROM switch_changes;
CREATE TABLE acknowledgements (
    worker TEXT NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
