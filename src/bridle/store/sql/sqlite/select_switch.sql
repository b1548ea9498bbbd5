-- The kill levels of the house (no name) and of one tenant.
SELECT level FROM switches WHERE tenant IN ('', ?)
