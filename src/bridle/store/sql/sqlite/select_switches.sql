-- Every kill level that is set: of the house (no name) and of tenants.
SELECT tenant, level FROM switches
