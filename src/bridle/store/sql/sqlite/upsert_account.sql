-- Write a shared account.
INSERT INTO accounts (level, owner, unit, period_of, period, settled, reserved) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET settled = excluded.settled, reserved = excluded.reserved
