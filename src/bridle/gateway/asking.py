"""What a person is asked about a call: everything he has to see, bound by one digest to what is then made."""

from collections.abc import Sequence
from dataclasses import replace

from bridle.gateway.admission import Admission
from bridle.gateway.attempt import key_of
from bridle.gateway.cleaning import clean
from bridle.gateway.context import CallContext
from bridle.gateway.live import Live
from bridle.gateway.perform import Permit, perform
from bridle.gateway.proposal import Proposal, propose_again
from bridle.gateway.toolbox import Ruled
from bridle.gateway.world import World
from bridle.rules import strict_json
from bridle.rules.approval import Answer
from bridle.rules.decision import Hold, Later
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import CallId, Digest, Millis
from bridle.rules.strict_json import BadJson, Json
from bridle.store.base import Store
from bridle.store.chain import keyed

MOST_SHOWN = 1_000_000  # bytes of what is kept of a question
MOST_PREVIEWED = 64_000  # bytes of what a preview says
NO_CALL = CallId("")


def bind(salt: bytes, question: dict[str, Json]) -> Digest:
    """The digest of tool, schema, arguments, policy, tenant and preview; another call has another one."""
    return keyed(salt, strict_json.canonical(question))


async def put(store: Store, world: World, live: Live, proposals: Sequence[Proposal]) -> list[Proposal]:
    """The proposals; those that need a person with the question to him, or as he changed them.

    What a write would change is looked up when nothing else stands against it, every time that it is proposed: where
    it is not what the person saw, it is another question. Raises ControlUnavailable and Fenced.
    """
    proposals = [replace(one, needs_approval=one.needs_approval or _was_asked(live, one)) for one in proposals]
    asking = [proposal for proposal in proposals if proposal.needs_approval]
    looking = [proposal for proposal in asking if proposal.ruled and proposal.ruled.declared.preview is not None]
    foreseen = await store.transact(Admission(live, looking, world.now()).foreseen) if looking else []
    previews: dict[int, Json | CallFailed] = {}
    for proposal, answer in zip(looking, foreseen, strict=True):  # one by one: nothing counts these calls
        if isinstance(answer, Hold | Later):
            previews[id(proposal)] = await _preview(live, proposal, world)
    return [
        _put(live, proposal, previews.get(id(proposal)), store) if proposal.needs_approval else proposal
        for proposal in proposals
    ]


def _was_asked(live: Live, proposal: Proposal) -> bool:
    """Whether a person was asked about this very call: his answer holds, also where nobody would ask any more."""
    ruled = proposal.ruled
    if ruled is None or all(asked.tool != proposal.tool for asked in live.state.asked):
        return False
    if ruled.declared.preview is not None:
        return True
    question = question_of(live, ruled, proposal.arguments, None)
    return live.state.question(bind(live.salt, question)) is not None


def _put(live: Live, proposal: Proposal, preview: Json | CallFailed, store: Store) -> Proposal:
    if isinstance(preview, CallFailed):
        return replace(proposal, misfit=f"what it would change cannot be shown to who approves: {preview.message}")
    assert proposal.ruled is not None
    question = question_of(live, proposal.ruled, proposal.arguments, preview)
    asked = replace(proposal, binding=bind(live.salt, question), question=strict_json.canonical(question))
    return _edited(live, asked, store)


async def _preview(live: Live, proposal: Proposal, world: World) -> Json | CallFailed:
    """What the tool's preview says, under the tool's timeout and the run's deadline. It changes and admits nothing."""
    ruled, now = proposal.ruled, world.now()
    assert ruled is not None
    preview = ruled.declared.preview
    assert preview is not None
    until = Millis(min(now + ruled.tool.timeout, live.state.work_until))
    context = CallContext(live.run, NO_CALL, live.tenant, key_of(live, proposal), 1, until)
    done = await perform(Permit(NO_CALL, until), lambda: preview(context, proposal.arguments), now)
    if done.failed is not None:  # in our own words: the model is told, and this counts as no result that it read
        kind = done.failed.kind
        said = f"no answer within {ruled.tool.timeout // 1_000} s" if kind is FailureKind.TIMEOUT else kind
        return CallFailed(kind, said)
    try:
        return clean(done.value, max_bytes=MOST_PREVIEWED)
    except BadJson as error:
        return CallFailed(FailureKind.INVALID_OUTPUT, str(error))


def question_of(live: Live, ruled: Ruled, arguments: dict[str, Json], preview: Json) -> dict[str, Json]:
    """Everything that a person is shown, and that the call has to be when it is made."""
    tool = ruled.tool
    return {
        "tool": tool.name,
        "effect": tool.effect.value,
        "summary": tool.summary,
        "description": tool.description,
        "schema": tool.schema,
        "takes": ruled.declared.takes.document,
        "arguments": arguments,
        "policy": live.state.policy,
        "tenant": live.tenant,
        "by": live.state.by,
        "preview": preview,
    }


def _edited(live: Live, proposal: Proposal, store: Store) -> Proposal:
    """The call with the arguments that a person put in place of the ones it came with."""
    asked = live.state.question(proposal.binding)
    if asked is None or asked.answer is not Answer.EDIT or asked.binding != proposal.binding:
        return proposal
    kept = store.payload(live.run, f"{asked.call}.edited")
    if kept is None:
        return proposal  # erased: it is asked about again
    question = strict_json.parse(kept, max_bytes=MOST_SHOWN)
    assert isinstance(question, dict)
    arguments = question["arguments"]
    assert isinstance(arguments, dict)
    again = propose_again(proposal, live, arguments)
    return replace(again, binding=bind(live.salt, question), question=kept)
