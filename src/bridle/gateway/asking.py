"""What a person is asked about a call: everything he has to see, bound by one digest to what is then made."""

from dataclasses import replace

from bridle.gateway.live import Live
from bridle.gateway.proposal import Proposal, propose_again
from bridle.gateway.toolbox import Ruled
from bridle.rules import strict_json
from bridle.rules.approval import Answer
from bridle.rules.names import Digest
from bridle.rules.strict_json import Json
from bridle.store.base import Store
from bridle.store.chain import keyed

MOST_SHOWN = 1_000_000  # bytes of what is kept of a question


def bind(salt: bytes, question: dict[str, Json]) -> Digest:
    """The digest of tool, schema, arguments, policy, tenant and preview; another call has another one."""
    return keyed(salt, strict_json.canonical(question))


def put(live: Live, proposal: Proposal, preview: Json = None) -> Proposal:
    """A call that needs a person, with the question to him."""
    assert proposal.ruled is not None
    question = question_of(live, proposal.ruled, proposal.arguments, preview)
    return replace(proposal, binding=bind(live.salt, question), question=strict_json.canonical(question))


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


def edited(live: Live, proposal: Proposal, store: Store) -> Proposal:
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
