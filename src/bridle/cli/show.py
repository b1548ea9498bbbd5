"""`bridle show`: the story of one run."""

from typing import Annotated

from cyclopts import Parameter

from bridle.cli.exits import OK
from bridle.cli.place import meant, now, option_for, path_of, reading
from bridle.cli.screen import OUT
from bridle.cli.story import as_document, read_story, tell


def show(
    run: Annotated[str, Parameter(name="RUN")] = "last",
    /,
    *,
    store: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Tell the story of one run: what it did, what it spent, why it stopped, what to do now.

    Parameters
    ----------
    run
        Its id, an unambiguous beginning of it, or last.
    store
        The store; see `bridle runs`.
    as_json
        One JSON document, with every event.
    """
    with reading(path_of(store)) as opened:
        story = read_story(opened, meant(opened, run))
        if as_json:
            OUT.json(as_document(story, opened))
        else:
            tell(OUT, story, opened, option_for(store), now())
    return OK
