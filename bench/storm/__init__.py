"""The storm: thousands of runs in a world that fails them in every way, held against a ledger that the world keeps."""
