-- Free a key.
DELETE FROM intents WHERE tenant = ? AND tool = ? AND key = ?
