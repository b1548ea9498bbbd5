"""Models behind one small port: what asks a model, and what a model costs.

May import: bridle.rules, and the strict JSON parser. httpx2, genai-prices and ruamel are imported when first needed.
Must never: retry, decide whether a request may be sent, or keep a key.
`port.py` is all that the floors above may know; `opening.py` turns "openai:gpt-5" into a model.
Tests: tests/models, against the faults of tests/wire/provider.py.
"""

from bridle.models.opening import UnknownModel, open_model
from bridle.models.prices import price_of

__all__ = ["UnknownModel", "open_model", "price_of"]
