"""`bridle show`: the story of one run."""

from typing import Annotated

from cyclopts import Parameter

from bridle.cli.exits import OK, Failed
from bridle.cli.options import AsJson, Store
from bridle.cli.place import meant, reading
from bridle.cli.screen import OUT
from bridle.cli.story import as_document, read_story, tell
from bridle.cli.where import now, option_for, path_of


def show(
    run: Annotated[str, Parameter(name="RUN", show_default=False)] = "last",
    /,
    *,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Tell the story of one run: what it did, what it spent, why it stopped, what to do now.

    Parameters
    ----------
    run
        Its id, an unambiguous beginning of it, or last. Default: last.
    """
    path = path_of(store)
    with reading(path) as opened:
        wanted = meant(opened, run)
        try:
            story = read_story(opened, wanted, is_worked_on=bool(opened.driver(wanted)))
            if as_json:
                OUT.json(as_document(story, opened))
            else:
                tell(OUT, story, opened, option_for(store), now())
        except (KeyError, TypeError, ValueError) as error:
            raise Failed(f"{wanted}: its journal is damaged ({error}); `bridle doctor` says where") from error
    return OK
