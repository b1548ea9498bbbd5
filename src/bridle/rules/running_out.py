"""What a run has left: when it is told to finish, and whether it may enter another step."""

from bridle.rules.decision import Halt
from bridle.rules.names import STEPS, TOKENS_IN, TOKENS_OUT, Amounts, Millis
from bridle.rules.policy import Limits
from bridle.rules.run import RunState
from bridle.rules.stop import Detail, StopReason
from bridle.rules.switch import Switch, against_run


def tokens(of: Amounts) -> int:
    """In and out together."""
    return of.get(TOKENS_IN, 0) + of.get(TOKENS_OUT, 0)


def wraps_up(run: RunState, limits: Limits, now: Millis) -> bool:
    """Whether 80 % of any limit of the run is used or held."""
    used, held = run.used, run.held
    for unit, mark in limits.marks:
        if used.get(unit, 0) + held.get(unit, 0) >= mark:
            return True
    if 5 * (tokens(used) + tokens(held)) >= 4 * limits.max_tokens:
        return True
    return 5 * (run.deadline - now) <= 1_000 * limits.max_seconds  # what it was away does not count


def may_enter(run: RunState, limits: Limits, now: Millis, switches: tuple[Switch, ...] = ()) -> Halt | None:
    """Whether a flow may enter another step: the run is open, not switched off, in time, and has a step left."""
    ending = run.stop or run.halt
    if ending is not None:
        return Halt(ending.reason, ending.detail)
    switch = against_run(switches, run.tenant, run.name)
    if switch is not None:
        return Halt(StopReason.KILLED, switch.detail)
    if now >= run.work_until:
        return Halt(StopReason.MAX_SECONDS, out_of_time(run, limits, now))
    used = run.committed(STEPS)
    return Halt(StopReason.MAX_STEPS, {"limit": limits.max_steps, "used": used}) if used >= limits.max_steps else None


def out_of_time(run: RunState, limits: Limits, now: Millis) -> Detail:
    """What is said of a run that has no time left: seconds of activity; what it was away does not count."""
    return {"limit": limits.max_seconds, "used": limits.max_seconds - (run.deadline - now) // 1_000}


def step_out_of_time(run: RunState, now: Millis) -> Detail:
    """What is said of a step that has no time left, in seconds since it was entered."""
    limit = run.limits.get("max_seconds", 0)
    return {"limit": limit, "used": limit - (run.node_deadline - now) // 1_000, "step": run.step}
