"""What a run has read, out of its journal: made when it first matters, and again after a crash."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from bridle.gateway.settlement import Settlement
from bridle.gateway.toolbox import Ruled, Toolbox
from bridle.rules import strict_json
from bridle.rules.call import CallKind
from bridle.rules.events import CallAdmitted, CallResolved, CallReused, CallSettled, ChildFunded, Event, RunStarted
from bridle.rules.flow_of_information import Endorse
from bridle.rules.names import CallId, Digest, Effect, RunId, Source, ToolName
from bridle.rules.policy import Policy
from bridle.rules.provenance import Provenance, Result
from bridle.rules.run import RunState
from bridle.rules.sinks import Place, Sink
from bridle.rules.strict_json import BadJson, Json
from bridle.store.base import Store

MOST_KEPT = 20_000_000  # bytes of one payload


def sinks_of(ruled: Ruled, arguments: Mapping[str, Json]) -> tuple[Sink, ...]:
    """The controlling arguments; of an egress that names none, all of them."""
    sinks = ruled.tool.sinks or ()
    if ruled.tool.effect is Effect.EGRESS and ruled.tool.sinks is None:
        sinks = tuple(Sink(name, (Place.USER, Place.TRUSTED)) for name in arguments)
    return tuple(replace(sink, tool=ruled.tool.name) for sink in sinks)


@dataclass(slots=True)
class Trail:
    """What one run has read, as far as it was looked at."""

    provenance: Provenance | None = None
    seen: int = 0  # events of the run that were looked at
    calls: dict[CallId, CallAdmitted] = field(default_factory=dict)
    first: dict[Digest, CallId] = field(default_factory=dict)  # which attempt kept these arguments
    done: set[CallId] = field(default_factory=set)

    def known(
        self, store: Store, toolbox: Toolbox, policy: Policy, state: RunState, pending: Iterable[Settlement]
    ) -> Provenance:
        """All of it, up to now; `pending` came in and is not written down yet."""
        if self.provenance is None:
            self.provenance = _empty(policy, toolbox)
            self._inherit(store, toolbox, policy, state)
        self._read(store, toolbox, policy, state.run)
        for one in pending:
            if isinstance(one.ending, CallSettled):
                self._settled(store, state.run, one.ending, one.kept)
        return self.provenance

    def _inherit(self, store: Store, toolbox: Toolbox, policy: Policy, state: RunState) -> None:
        """What the parents of a child knew when they began it."""
        family = [state]
        while family[-1].parent:
            family.append(store.recorded(family[-1].parent).state)
        for child, parent in reversed(list(pairwise(family))):
            self._read(store, toolbox, policy, parent.run, until=child.run)
            for known in (self.calls, self.first, self.done):  # call ids begin anew in every run
                known.clear()

    def _read(self, store: Store, toolbox: Toolbox, policy: Policy, run: RunId, until: RunId | None = None) -> None:
        for entry in store.journal(run, after=0 if until else self.seen):
            if until is None:
                self.seen = entry.seq
            elif isinstance(entry.event, ChildFunded) and entry.event.child == until:
                return
            self._event(store, toolbox, policy, run, entry.event)

    def _event(self, store: Store, toolbox: Toolbox, policy: Policy, run: RunId, event: Event) -> None:
        assert self.provenance is not None
        match event:
            case RunStarted(is_tainted=False):  # what a tainted parent hands on is not the user's words
                self.provenance.said(_value(store.payload(run, "input")))
            case CallAdmitted(call=call, kind=CallKind.TOOL):
                self.calls[call] = event
                self.first.setdefault(event.args, call)
                if event.approval and policy.flow_rule.endorse is Endorse.PER_VALUE_PER_RUN:
                    self._endorse(store, toolbox, policy, run, event)
            case CallSettled():
                self._settled(store, run, event, b"")
            case CallResolved(call=call, happened=True) if call in self.calls and event.result:
                self._came(store, run, self.calls[call], b"", event.source)
            case CallReused(call=call, run=of_run) if of_run:
                kept, asked = (_value(store.payload(of_run, f"{event.of}.{what}")) for what in ("result", "args"))
                self._returned(call, event.tool, kept, asked, event.source)
            case _:
                pass

    def _settled(self, store: Store, run: RunId, event: CallSettled, kept: bytes) -> None:
        admitted = self.calls.get(event.call)
        if admitted is not None and event.failure is None:
            self._came(store, run, admitted, kept, event.source)

    def _came(self, store: Store, run: RunId, admitted: CallAdmitted, kept: bytes, source: Source) -> None:
        call = admitted.call
        if call not in self.done:
            asked = _value(store.payload(run, f"{self.first.get(admitted.args, call)}.args"))
            value = _value(kept or store.payload(run, f"{call}.result"))
            self._returned(call, admitted.tool, value, asked, source)

    def _returned(self, call: CallId, tool: ToolName, value: Json, asked: Json, source: Source) -> None:
        if call in self.done:
            return
        self.done.add(call)
        assert self.provenance is not None
        known = asked if isinstance(asked, dict) else None
        self.provenance.returned(Result(call, tool, value, known, source is Source.UNTRUSTED))

    def _endorse(self, store: Store, toolbox: Toolbox, policy: Policy, run: RunId, event: CallAdmitted) -> None:
        ruled, asked = toolbox.under(policy, event.tool), _value(store.payload(run, f"{event.call}.args"))
        assert self.provenance is not None
        if ruled is not None and isinstance(asked, dict):
            for sink in sinks_of(ruled, asked):
                self.provenance.endorse(sink, asked.get(sink.argument))


def _empty(policy: Policy, toolbox: Toolbox) -> Provenance:
    """A tool is a directory where it only reads, and is trusted; whoever steers it."""
    listed = {name: one.values for name, one in policy.directories.items() if not one.tool}
    ruled = {name: toolbox.under(policy, one.tool) for name, one in policy.directories.items() if one.tool}
    tools = {
        name: one.tool.name
        for name, one in ruled.items()
        if one is not None and one.tool.effect is Effect.READ and one.tool.source is Source.TRUSTED
    }
    return Provenance(policy.constants, listed, tools)


def _value(kept: bytes | None) -> Json:
    """A payload again; one that was erased, or that is a foreign loop's plain words, says what it says."""
    if not kept:
        return None
    try:
        return strict_json.parse(kept, max_bytes=MOST_KEPT)
    except BadJson:
        return kept.decode(errors="replace")
