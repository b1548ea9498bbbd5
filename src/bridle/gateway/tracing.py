"""Where the values of a call came from, read out of the journal: only for calls that it matters for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bridle.gateway.live import Live
from bridle.gateway.proposal import Proposal
from bridle.gateway.toolbox import Ruled, Toolbox
from bridle.gateway.trail import sinks_of
from bridle.rules.events import CallSettled
from bridle.rules.flow_of_information import Tracing, Unproven, Way, When, way_of
from bridle.rules.names import Confidentiality, Effect, Source
from bridle.rules.provenance import Provenance, leaves
from bridle.rules.sinks import Sink
from bridle.rules.strict_json import Json
from bridle.store.base import Store


def traced(store: Store, live: Live, toolbox: Toolbox, proposals: Sequence[Proposal]) -> list[Proposal]:
    """The proposals, those that it matters for with what is known of their values."""
    tainted, private = _read_so_far(live)
    if not tainted and live.policy.flow_rule.when is not When.ALWAYS:
        return list(proposals)
    found = []
    for one in proposals:
        if one.ruled is not None and not one.misfit and _matters(one.ruled):
            tracing = _tracing(store, live, toolbox, one, is_tainted=tainted, has_read_private=private)
            asks = way_of(live.node.flow_rule, one.ruled.tool, tracing) is Way.APPROVE
            found.append(replace(one, traced=tracing, needs_approval=one.needs_approval or asks))
        else:
            found.append(one)
    return found


def _read_so_far(live: Live) -> tuple[bool, bool]:
    """Whether anything untrusted, or anything private, was read: also what is not written down yet."""
    ends = [one.ending for one in live.pending if isinstance(one.ending, CallSettled)]
    tainted = live.state.is_tainted or any(end.source is Source.UNTRUSTED for end in ends)
    private = live.state.has_read_private or any(end.confidentiality is Confidentiality.PRIVATE for end in ends)
    return tainted, private


def _matters(ruled: Ruled) -> bool:
    return ruled.tool.effect is not Effect.READ or ruled.tool.source is Source.TRUSTED


def _tracing(
    store: Store, live: Live, toolbox: Toolbox, proposal: Proposal, *, is_tainted: bool, has_read_private: bool
) -> Tracing:
    assert proposal.ruled is not None, "only what is declared is traced"
    tool, arguments = proposal.ruled.tool, proposal.arguments
    known = live.trail.known(store, toolbox, live.policy, live.state, live.pending)
    unproven: tuple[Unproven, ...] = ()
    is_verbatim = False
    if tool.effect is not Effect.READ:
        unproven = looked_up(known, sinks_of(proposal.ruled, arguments), arguments)
        unproven += tuple(Unproven(name, ()) for name in proposal.ruled.misnamed)
        if tool.destructive:  # nothing often means everything
            unproven += tuple(Unproven(sink.argument, sink.places) for sink in _unsaid(tool.sinks or (), arguments))
        is_verbatim = tool.effect is Effect.EGRESS and bool(unproven) and known.stood(arguments)
    is_steered = is_tainted and tool.source is Source.TRUSTED and not known.is_known(arguments)
    return Tracing(is_tainted, has_read_private, unproven, is_verbatim, is_steered)


def _unsaid(sinks: Sequence[Sink], arguments: Mapping[str, Json]) -> Iterator[Sink]:
    for sink in sinks:
        if all(leaf in (None, "") for leaf in leaves(arguments.get(sink.argument))):
            yield sink


def looked_up(known: Provenance, sinks: Sequence[Sink], arguments: Mapping[str, Json]) -> tuple[Unproven, ...]:
    """The sinks whose values nobody vouches for, with the result that they were first seen in."""
    found = []
    for sink in sinks:
        strange = known.strange(arguments.get(sink.argument), sink)
        if strange:
            first = next((seen for leaf in strange if (seen := known.first_seen(leaf, sink)) is not None), ())
            found.append(Unproven(sink.argument, sink.places, *first))
    return tuple(found)
