"""How much a model may write: as much as it is set up for, or as much as the budget can still pay."""

from dataclasses import replace

from bridle.rules.call import Purpose
from bridle.rules.names import TOKENS_IN, TOKENS_OUT, USD_NANO, UsdNanos
from bridle.rules.policy import Limits
from bridle.rules.prompt import ModelRequest
from bridle.rules.run import RunState
from bridle.runs.desk import Seat

LEAST_OUTPUT = 16  # tokens; a request that cannot afford these is refused, not shortened
Ceiling = tuple[int, int, UsdNanos]


def clamped(
    seat: Seat, request: ModelRequest, state: RunState, limits: Limits, purpose: Purpose
) -> tuple[ModelRequest, Ceiling | None]:
    """The request with its output clamped, and its worst case; None when nobody knows its price."""
    if seat.price is None:
        return request, None
    ceiling = seat.hold(request)
    tokens_in, tokens_out, money = ceiling
    tokens, dollars = _left(state, limits, purpose)
    if tokens_in + tokens_out <= tokens and money <= dollars:
        return request, ceiling
    _, _, money_in = seat.hold(replace(request, max_output=0))
    each = -((money_in - money) // max(request.max_output, 1))  # rounded up
    affordable = min(tokens - tokens_in, (dollars - money_in) // each if each else request.max_output)
    if LEAST_OUTPUT <= affordable < request.max_output:
        request = replace(request, max_output=affordable)
        return request, seat.hold(request)
    return request, ceiling


def _left(state: RunState, limits: Limits, purpose: Purpose) -> tuple[int, int]:
    """Tokens and nano-dollars that a request may still hold: of the run, and of the node it works in."""
    tokens = limits.max_tokens - state.committed(TOKENS_IN) - state.committed(TOKENS_OUT)
    dollars = limits.max_usd - state.committed(USD_NANO)
    if purpose is Purpose.FINALISE:
        reserve = state.finalise
        tokens += reserve.get(TOKENS_IN, 0) + reserve.get(TOKENS_OUT, 0)
        return tokens, dollars + reserve.get(USD_NANO, 0)
    if "max_tokens" in state.limits:
        own = state.node_committed(TOKENS_IN) + state.node_committed(TOKENS_OUT)
        tokens = min(tokens, state.limits["max_tokens"] - own)
    if "max_usd" in state.limits:
        dollars = min(dollars, state.limits["max_usd"] - state.node_committed(USD_NANO))
    return tokens, dollars
