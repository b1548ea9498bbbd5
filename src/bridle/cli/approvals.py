"""`bridle approvals`: what waits for a person, everything he has to see of it, and how he answers."""

from bridle.cli.card import as_document, card, commands, is_late
from bridle.cli.exits import OK, Failed
from bridle.cli.options import AsJson, Store
from bridle.cli.place import MOST_NAMED, meant, reading
from bridle.cli.screen import OUT, dim
from bridle.cli.where import now, option_for, path_of
from bridle.gateway.world import World
from bridle.runs.approvals import Approvals
from bridle.store.sqlite import SqliteStore


def approvals(
    *,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """List what waits for a person, the oldest question first."""
    path, at = path_of(store), now()
    with reading(path) as opened:
        found = Approvals(opened, World()).pending()
    if as_json:
        OUT.json({"store": str(path), "approvals": [as_document(question, at) for question in found]})
        return OK
    if not found:
        OUT.line(f"Nothing waits for a person in {path}.")
    for question in found:
        card(OUT, question, at)
        if is_late(question, at):
            run = question.approval.rpartition("/")[0]
            OUT.line("  ", dim(f"nobody can answer any more; {run} goes on without it when a worker takes it up"))
        else:
            commands(OUT, question, option_for(store))
        OUT.line()
    return OK


def approval_meant(store: SqliteStore, text: str) -> str:
    """The approval that is meant by RUN/CALL, by an unambiguous beginning of it, or by `last`. Raises Failed."""
    waiting = [question.approval for question in Approvals(store, World()).pending()]
    if text == "last":
        if not waiting:
            raise Failed(f"nothing waits for a person in {store.path}")
        return waiting[-1]
    for begun in (text, f"r-{text}"):
        found = [begun] if begun in waiting else [each for each in waiting if each.startswith(begun)]
        if len(found) == 1:
            return found[0]
        if found:
            more = " and more" if len(found) > MOST_NAMED else ""
            raise Failed(f"{text} may be {', '.join(found[:MOST_NAMED])}{more}; write more of it")
    run, slash, call = text.partition("/")
    named = meant(store, run)
    if slash:
        return f"{named}/{call}"  # what is wrong with it, its run knows
    raise Failed(f"nothing of run {named} waits for a person; `bridle show {named}` tells its story")
