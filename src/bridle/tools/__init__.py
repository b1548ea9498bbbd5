"""The tools that come with bridle: a folder of documents, one page of the web, files and notes.

Each module holds one class whose methods a toolbox registers, and `LABELS`: by tool name, what the gateway must know.
May import: bridle.rules, and libraries; a heavy one (httpx2) inside the function that needs it.
Must never: retry, spend, decide whether a call is allowed, or raise anything but `CallFailed` for what the world does.
Tests: tests/tools.
"""
