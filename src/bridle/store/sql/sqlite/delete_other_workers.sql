-- Workers that died: who opens the store alone knows that there is no other.
DELETE FROM workers WHERE worker <> ?
