-- Suspended runs: when each goes on; 0 for one that does not wait.
ALTER TABLE runs ADD COLUMN wake_at INTEGER NOT NULL DEFAULT 0;
