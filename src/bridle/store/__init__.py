"""Floor 2, memory: the journal, the rows beside it, and `transact`, the only way to change them.

May import: bridle.rules. Must never: decide anything, or know what a model or a tool is.
`base.py` is the contract, `sqlite.py` keeps it on disk and `memory.py` in dictionaries. SQL stands in `sql/`, one
statement a file.
Tests: tests/store; tests/store/contract.py is the suite that every store passes.
"""
