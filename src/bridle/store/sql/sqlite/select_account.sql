-- One shared account.
SELECT settled, reserved FROM accounts WHERE level = ? AND owner = ? AND unit = ? AND period_of = ? AND period = ?
