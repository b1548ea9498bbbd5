"""What a tool may know of the call that performs it."""

from bridle.rules.data import data
from bridle.rules.names import CallId, Millis, RunId, TenantId


@data
class CallContext:
    """Passed to a tool that asks for it with a keyword-only parameter `call: CallContext`.

    `key` is what a far end that takes idempotency keys should be sent. It is the same for every attempt of a call; for
    a write with a `key` label it is the same in every run too. `deadline` is in Unix milliseconds.
    """

    run: RunId
    call: CallId
    tenant: TenantId
    key: str
    attempt: int
    deadline: Millis
