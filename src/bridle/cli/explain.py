"""`bridle explain`: why a call was refused, or waits for a person, and where its arguments came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from bridle.cli.exits import OK, Failed
from bridle.cli.options import AsJson, Store
from bridle.cli.place import meant, reading
from bridle.cli.screen import OUT, bad, bold, dim, doubtful, good
from bridle.cli.where import path_of
from bridle.rules import strict_json
from bridle.rules.call import CallKind
from bridle.rules.events import ApprovalAsked, ApprovalDecided, CallAdmitted, CallRefused, CallSettled, Event
from bridle.rules.flow_of_information import because
from bridle.rules.names import RunId
from bridle.rules.stop import StopNote
from bridle.rules.strict_json import BadJson, Json
from bridle.store.base import Store as AnyStore

MOST = 1_000_000  # bytes of arguments


@dataclass(frozen=True, slots=True)
class Explained:
    """One decision on one call. `why` are sentences; the first says what was decided."""

    call: str
    tool: str
    decided: str  # admitted, refused, asked, answered or returned
    why: tuple[str, ...]


def explain(
    call: Annotated[str, Parameter(name="RUN[/CALL]", show_default=False)] = "last",
    /,
    *,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Say why calls of a run were refused or wait for a person, and where their arguments were first seen.

    Parameters
    ----------
    call
        A run, for all that was refused or asked in it; or RUN/CALL, for everything about one call. Default: last.
    """
    run, _, wanted = call.partition("/")
    with reading(path_of(store)) as opened:
        named = meant(opened, run)
        found = [one for one in _explained(opened, named, whole=bool(wanted)) if wanted in ("", one.call)]
    if wanted and not found:
        raise Failed(f"run {named} has no call {wanted}; `bridle show {named}` lists them")
    if as_json:
        rows = [{"call": one.call, "tool": one.tool, "decided": one.decided, "why": list(one.why)} for one in found]
        OUT.json({"run_id": named, "calls": rows})
        return OK
    if not found:
        OUT.line(f"Nothing of run {named} was refused, and nobody was asked.")
    for one in found:
        paint = {"refused": bad, "asked": doubtful, "admitted": good, "returned": good}.get(one.decided, bold)
        OUT.line(bold(f"{named}/{one.call}"), "  ", one.tool, "  ", paint(one.decided))
        for sentence in one.why:
            OUT.hanging([dim("  ")], sentence)
    return OK


def _explained(store: AnyStore, run: RunId, *, whole: bool) -> Iterator[Explained]:
    tools: dict[str, str] = {}
    for entry in store.journal(run):
        event = entry.event
        if isinstance(event, CallAdmitted | CallRefused | ApprovalAsked):
            tools[event.call] = event.tool
        if isinstance(event, CallRefused | ApprovalAsked | ApprovalDecided) or (whole and _is_told(event)):
            assert isinstance(event, CallAdmitted | CallRefused | CallSettled | ApprovalAsked | ApprovalDecided)
            decided, why = _said(store, run, event)
            yield Explained(event.call, tools.get(event.call, ""), decided, tuple(why))


def _is_told(event: Event) -> bool:
    return isinstance(event, CallSettled) or (isinstance(event, CallAdmitted) and event.kind is CallKind.TOOL)


def _said(
    store: AnyStore, run: RunId, event: CallAdmitted | CallRefused | CallSettled | ApprovalAsked | ApprovalDecided
) -> tuple[str, list[str]]:
    match event:
        case CallRefused():
            return "refused", [StopNote(event.reason, event.detail).text(), *_chain(store, run, event)]
        case ApprovalAsked():
            return "asked", _chain(store, run, event) or ["The policy wants a person to see calls like this one."]
        case ApprovalDecided(answer=answer, by=by, said=said):
            return "answered", [f"{answer} by {by}{f': {said}' if said else ''}"]
        case CallAdmitted(also=also, approval=approval):
            passed = [f"Observe mode let it pass: {', '.join(also)}."] if also else []
            return "admitted", [*passed, *([f"A person answered {approval}."] if approval else [])]
        case CallSettled(failure=None):
            return "returned", [f"Its result is {event.source} and {event.confidentiality}."]
        case CallSettled():
            return "returned", [f"It failed: {event.failure}."]


def _chain(store: AnyStore, run: RunId, event: CallRefused | ApprovalAsked) -> list[str]:
    """Where its arguments came from; the values are payloads, and an erased run does not know them any more."""
    if not event.unproven:
        return []
    name = "question" if isinstance(event, ApprovalAsked) else "args"
    try:
        kept: Json = strict_json.parse(store.payload(run, f"{event.call}.{name}") or b"{}", max_bytes=MOST)
    except BadJson:
        kept = {}
    arguments = kept.get("arguments", {}) if name == "question" and isinstance(kept, dict) else kept
    return list(because(event.unproven, arguments if isinstance(arguments, dict) else {}))
