"""The finalise reserve: what a run holds from its start, so that one out of budget still says how far it came."""

from bridle.rules.names import ACTIVE_MS, MODEL_CALLS, STEPS, TOKENS_IN, TOKENS_OUT, USD_NANO, Amounts, Digest, Unit
from bridle.rules.prompt import BYTES_PER_TOKEN, FINALISE_CONTEXT, FINALISE_OUTPUT, Message, ModelRequest, Role
from bridle.runs.desk import Seat

FINALISE_MS = 5_000
_NO_DIGEST = Digest("")


def finalise_reserve(seat: Seat) -> Amounts:
    """One bounded model call, one step, five seconds. Without a price no money is reserved: it is refused anyway."""
    hold: dict[Unit, int] = {MODEL_CALLS: 1, STEPS: 1, ACTIVE_MS: FINALISE_MS}
    if seat.price is not None:
        size = FINALISE_CONTEXT * BYTES_PER_TOKEN
        message = Message(Role.USER, "")
        largest = ModelRequest(seat.name, (message,), (), min(seat.max_output, FINALISE_OUTPUT), "", size, _NO_DIGEST)
        tokens_in, tokens_out, money = seat.hold(largest)
        hold |= {TOKENS_IN: tokens_in, TOKENS_OUT: tokens_out}
        if money:
            hold[USD_NANO] = money
    return hold
