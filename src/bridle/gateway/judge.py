"""What a tool returned, before anybody may use it: strict, of the declared form, capped, labelled."""

from bridle.gateway.cleaning import clean
from bridle.gateway.excerpt import MIN_BYTES, excerpt
from bridle.gateway.outcome import Label, Observation
from bridle.gateway.toolbox import Ruled
from bridle.rules import strict_json
from bridle.rules.data import data
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import CallId, Source
from bridle.rules.strict_json import BadJson, Json


@data
class Judged:
    """A usable observation with the bytes that are kept of it, or what is wrong with the output."""

    observation: Observation | None
    kept: bytes
    failed: CallFailed | None = None


def judge(raw: object, ruled: Ruled, source: Source, handle: str, shown: int) -> Judged:
    """Strict value, schema, cap at `shown` bytes. An unusable output is a failure of the tool, never of the engine."""
    tool = ruled.tool
    try:
        value = clean(raw, max_bytes=tool.max_bytes)
    except BadJson as error:
        return _unusable(f"{tool.name} returned something that is not usable: {error}")
    except Exception as error:  # noqa: BLE001 - an output may run code of its own while it is read
        return _unusable(f"{tool.name} returned something that cannot be read ({type(error).__name__})")
    if ruled.output is not None:
        errors = ruled.output.errors(value)
        if errors:
            return _unusable(f"{tool.name} returned another form than it declared: {errors[0]}")
    kept = strict_json.canonical(value)
    return Judged(observe(value, kept, ruled, source, handle, shown), kept)


def observe(value: Json, kept: bytes, ruled: Ruled, source: Source, handle: str, shown: int) -> Observation:
    """The observation of a value; also of one that was kept before a crash."""
    tool = ruled.tool
    text = value if isinstance(value, str) else kept.decode()
    part = excerpt(text, max_bytes=max(shown, MIN_BYTES), handle=handle)
    label = Label(tool.name, source, tool.confidentiality)
    return Observation(value, part.text, part.truncated, handle, label, CallId(handle.rpartition("/")[2]))


def _unusable(why: str) -> Judged:
    return Judged(None, b"", CallFailed(FailureKind.INVALID_OUTPUT, why))
