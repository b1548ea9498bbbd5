-- The first schema: runs with their folded rows, journals, payloads, shared accounts, health, switch, policies, wishes.
CREATE TABLE runs (
    no INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    phase TEXT NOT NULL,
    reason TEXT,
    updated_at INTEGER NOT NULL,
    head BLOB NOT NULL,
    salt BLOB NOT NULL,
    state BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX runs_by_key ON runs (tenant, key) WHERE key <> '';
CREATE INDEX runs_by_fingerprint ON runs (tenant, fingerprint);
CREATE INDEX runs_open ON runs (no) WHERE phase <> 'stopped';
CREATE TABLE events (
    run_no INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    hash BLOB NOT NULL,
    kept_as TEXT,
    kept BLOB,
    PRIMARY KEY (run_no, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE accounts (
    level TEXT NOT NULL,
    owner TEXT NOT NULL,
    unit TEXT NOT NULL,
    period_of TEXT NOT NULL,
    period INTEGER NOT NULL,
    settled INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    PRIMARY KEY (level, owner, unit, period_of, period)
) STRICT, WITHOUT ROWID;
CREATE TABLE health (
    tenant TEXT NOT NULL,
    dependency TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (tenant, dependency)
) STRICT, WITHOUT ROWID;
CREATE TABLE switches (
    tenant TEXT NOT NULL PRIMARY KEY,
    level TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE policies (
    digest TEXT NOT NULL PRIMARY KEY,
    canonical BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE wishes (
    run TEXT NOT NULL PRIMARY KEY,
    wanted_by TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
