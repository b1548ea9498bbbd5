-- Writes by their keys: what of them is open, confirmed, refused or in doubt, and where the receipt is.
CREATE TABLE intents (
    tenant TEXT NOT NULL,
    tool TEXT NOT NULL,
    key TEXT NOT NULL,
    status TEXT NOT NULL,
    run TEXT NOT NULL,
    call TEXT NOT NULL,
    args TEXT NOT NULL,
    salt BLOB NOT NULL,
    at INTEGER NOT NULL,
    doubts TEXT NOT NULL,
    UNIQUE (tenant, tool, key)
) STRICT;
CREATE INDEX intents_unresolved ON intents (run) WHERE status IN ('open', 'in_doubt');
