"""What many commands take, described once."""

from typing import Annotated

from cyclopts import Parameter

Store = Annotated[str | None, Parameter(help="A path, or sqlite:///path. Default: BRIDLE_STORE, or .bridle/bridle.db.")]
AsJson = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="One JSON document, and no question.")
]
