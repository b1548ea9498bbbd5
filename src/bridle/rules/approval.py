"""What a person was asked, what he said, and what that means for the call that comes again."""

from dataclasses import field
from enum import StrEnum

from bridle.rules.data import data
from bridle.rules.decision import Deny, Hold
from bridle.rules.names import CallId, Digest, Effect, Millis, ToolName
from bridle.rules.stop import Detail, StopReason
from bridle.rules.strict_json import Json

REMEMBERED = 32  # answers of one run; what was refused stays refused without asking again


class Answer(StrEnum):
    """What a person says to a call that waits for him."""

    APPROVE = "approve"
    EDIT = "edit"  # it may be made with these other arguments
    REJECT = "reject"
    RESPOND = "respond"  # it is not made: these words are the answer to it


@data
class Asked:
    """One question to a person. `binding` is the digest of everything that he is shown: it is for this and no other."""

    call: CallId
    tool: ToolName
    binding: Digest
    asked_at: Millis
    until: Millis
    answer: Answer | None = None
    by: str = ""
    said: str = ""  # the reason of a rejection, or the words of a response
    edited: Digest = Digest("")  # the binding of the arguments that an edit put in their place
    effect: Effect = Effect.WRITE
    counted_at: Millis = Millis(0)  # until when it is in `until` how long its clock stood still; 0 is when it was asked

    def expired(self, now: Millis) -> bool:
        """Whether it is too late: for the person, and for the call that he approved."""
        return now >= self.until

    @property
    def admits(self) -> Digest:
        """The binding of the call that may be made once, or nothing."""
        if self.answer is Answer.EDIT:
            return self.edited
        return self.binding if self.answer is Answer.APPROVE else Digest("")


def widened(before: Json, after: Json, where: str) -> str:
    """What an edit makes larger, as a sentence; empty when it only narrows.

    A number may come nearer to zero, a list may lose items, and a text or a flag may be another one: those have no
    order. Nothing may be added, nothing left out, and nothing become of another kind.
    """
    if _kind(before) is not _kind(after):
        return f"an edit keeps the kind of each value: {where} was {_shown(before)} and would be {_shown(after)}"
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            inner = f"{where}.{name}" if where else name
            if name not in before:
                return f"an edit may not add an argument, and {inner} is new; reject it and say what is wanted"
            if name not in after:
                return f"an edit names every argument, and {inner} is missing: its default could be anything"
            larger = widened(before[name], after[name], inner)
            if larger:
                return larger
    if isinstance(before, list) and isinstance(after, list):
        if len(after) > len(before):
            return f"an edit may narrow and never widen: {where} had {len(before)} items and would have {len(after)}"
        return next(filter(None, (widened(*pair, f"{where}[]") for pair in zip(before, after, strict=False))), "")
    if (
        isinstance(before, int | float)
        and isinstance(after, int | float)
        and not min(before, 0) <= after <= max(before, 0)
    ):
        return f"an edit may narrow and never widen: {where} was {before} and would be {after}"
    return ""


def _kind(value: Json) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _shown(value: Json) -> str:
    return "nothing" if value is None else f"{value!r:.60}"


@data
class Consent:
    """What stands of a person's answer when a call that needs one is proposed."""

    binding: Digest  # of the call as it is proposed now
    asked: Asked | None = field(default=None)  # the question that was about this very binding


def consented(consent: Consent, now: Millis) -> Hold | Deny | None:
    """None when a person allowed exactly this call, and in time; otherwise he is asked, or has refused."""
    asked = consent.asked
    if asked is None:
        return Hold("approval_required")
    if asked.admits == consent.binding != "" and not asked.expired(now):
        return None
    detail: Detail = {"tool": asked.tool, "by": asked.by, "said": asked.said}
    if asked.answer in (Answer.REJECT, Answer.RESPOND):
        return Deny(StopReason.APPROVAL_DENIED, detail)
    if asked.expired(now):
        return Deny(StopReason.APPROVAL_EXPIRED, {"tool": asked.tool, "until": asked.until})
    return Hold("approval_required")
