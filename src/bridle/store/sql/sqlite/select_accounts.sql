-- Every shared account.
SELECT level, owner, unit, period_of, period, settled, reserved FROM accounts
