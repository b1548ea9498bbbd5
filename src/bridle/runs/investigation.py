"""A bounded autonomous loop: ask, act, observe, until there is an answer or a limit says stop."""

from bridle.gateway.outcome import Observation, Outcome, Refusal, Replied
from bridle.gateway.proposal import ToolWish
from bridle.rules.call import Purpose
from bridle.rules.names import ToolName
from bridle.rules.prompt import FINALISE_CONTEXT, FINALISE_OUTPUT, Finish, Message, Prompt, Role, ToolOffer, ToolUse
from bridle.rules.stop import StopReason
from bridle.runs.answer import NO_ANSWER, FinalAnswer, read_answer
from bridle.runs.desk import Seat
from bridle.runs.finding import Finding
from bridle.runs.flow import Node
from bridle.runs.pinned import FINISH_NOW, note, opening
from bridle.runs.run import Run

TOOL_CALLS_OF_A_TURN = 64  # what a reply asks for beyond these is not even proposed
NO_LAST_WORD = (StopReason.MODEL_REFUSED, StopReason.CREDENTIALS_INVALID)  # the last request would end the same way
CORRECTIONS = 1  # how often an answer of the wrong form may be put right


async def investigate(run: Run, node: Node, goal: str) -> Finding:
    """What was found, or how far it came. Raises Stop, with the partial result, when the whole run is halted."""
    seat, prompt, corrections = run.seat(node.model), opening(run, node, goal), CORRECTIONS
    while True:  # ends: every turn takes a step and a model call, and both have limits
        finishing = run.wraps_up
        offers = run.offered(node.tools, finishing=finishing)
        prompt = prompt.with_note(note(run.off, finishing=finishing))
        outcome = await ask(run, seat, node, prompt, offers)
        if isinstance(outcome, Refusal):
            return await exhausted(run, seat, node, prompt, outcome)
        prompt, uses = replied(prompt, outcome)
        if not uses:
            answer = read_answer(outcome.reply, node.output)
            if answer.is_valid:
                return Finding(answer.value)
            if outcome.reply.finish is Finish.REFUSED:
                return await exhausted(run, seat, node, prompt, _refused(node, StopReason.MODEL_REFUSED, answer))
            if not corrections:
                return await exhausted(run, seat, node, prompt, _refused(node, StopReason.ANSWER_INVALID, answer))
            corrections -= 1
            prompt = prompt.with_message(Message(Role.USER, answer.error))
            continue
        outcomes = await run.acted([ToolWish(ToolName(use.name), use.arguments) for use in uses])
        prompt = observed(prompt, uses, outcomes)
        for o in outcomes:
            if isinstance(o, Refusal) and (o.halts or o.node_over):
                return await exhausted(run, seat, node, prompt, o)


async def ask(run: Run, seat: Seat, node: Node, prompt: Prompt, offers: tuple[ToolOffer, ...]) -> Replied | Refusal:
    """One model request, fitted into what the model can read."""
    fitted = prompt.fitted(seat.context_tokens - seat.max_output)
    if fitted is None:
        return _refused(node, StopReason.CONTEXT_OVERFLOW, FinalAnswer(None, is_valid=False))
    outcome = await run.asked(seat, fitted.request(seat.name, offers, seat.max_output))
    assert not isinstance(outcome, Observation)
    return outcome


def replied(prompt: Prompt, outcome: Replied) -> tuple[Prompt, tuple[ToolUse, ...]]:
    """The conversation with the reply in it. Call ids are re-issued: a model's may repeat."""
    reply = outcome.reply
    asked = enumerate(reply.uses[:TOOL_CALLS_OF_A_TURN], 1)
    uses = tuple([ToolUse(f"{outcome.call}.{number}", use.name, use.arguments) for number, use in asked])
    return prompt.with_message(Message(Role.ASSISTANT, reply.text, uses)), uses


def observed(prompt: Prompt, uses: tuple[ToolUse, ...], outcomes: list[Outcome]) -> Prompt:
    """The conversation with what every tool said, below the pinned policy."""
    for use, outcome in zip(uses, outcomes, strict=True):
        assert not isinstance(outcome, Replied)
        prompt = prompt.with_message(Message(Role.TOOL, outcome.text, (), use.id))
    return prompt


async def exhausted(run: Run, seat: Seat, node: Node, prompt: Prompt, over: Refusal) -> Finding:
    """No more work: one last request, paid from the reserve, says how far it came."""
    halts = not over.node_over
    if halts:
        await run.halt(over.note)
    fitted = prompt.with_note(FINISH_NOW).fitted(FINALISE_CONTEXT)
    said: Replied | Refusal | Observation = over
    if fitted is not None and over.reason not in NO_LAST_WORD:
        request = fitted.request(seat.name, (), min(seat.max_output, FINALISE_OUTPUT))
        said = await run.asked(seat, request, Purpose.FINALISE)
    partial = _words(said, prompt)
    if halts:
        raise run.stopped(over.note, partial)
    return Finding(partial, over.note)


def _words(said: Outcome, prompt: Prompt) -> str:
    """What the last request said, or else the last thing the model had said before."""
    if isinstance(said, Replied) and said.reply.text:
        return said.reply.text
    spoken = (message.text for message in reversed(prompt.messages) if message.role is Role.ASSISTANT and message.text)
    return next(spoken, "")


def _refused(node: Node, reason: StopReason, answer: FinalAnswer) -> Refusal:
    return Refusal(ToolName(node.model), reason, {"error": answer.error or NO_ANSWER, "model": node.model}, halts=True)
