-- Several processes on one file: which worker drives a run.
ALTER TABLE runs ADD COLUMN worker TEXT NOT NULL DEFAULT '';
CREATE INDEX runs_driven ON runs (worker) WHERE phase <> 'stopped';
