"""What a run is opened with: the house's policy narrowed to its tenant and flow, an id, and the key it is known by."""

from dataclasses import dataclass

from bridle.gateway.world import World
from bridle.rules.failure import BridleError
from bridle.rules.funding import bound
from bridle.rules.names import Digest, RunId, TenantId
from bridle.rules.policy import Policy
from bridle.rules.run import RunState
from bridle.runs.journey import Opening, new_id, node_policy
from bridle.store.base import RunKey, Store
from bridle.store.chain import keyed

KNOWN = 10_000  # narrowed policies that are remembered


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Who asks for a run of what. `loop` is "flow" or "attach"; `key` is empty when the caller gave none."""

    loop: str
    name: str
    version: str
    tenant: str
    by: str
    key: str
    words: bytes

    def __post_init__(self) -> None:
        """Raise BridleError for a name that is no text."""
        for name in ("tenant", "by", "key"):
            value: object = getattr(self, name)
            if not isinstance(value, str):
                raise BridleError(f"{name} is {value!r:.60}, and has to be a text")


class Charter:
    """One policy of a house, and what it makes of a request."""

    def __init__(self, policy: Policy, world: World) -> None:
        self._policy = policy
        self._canonical = policy.canonical()
        self._world = world
        self._known: dict[tuple[Digest, str, str], Policy] = {}
        self.digest = policy.digest()

    def of(self, tenant: str, name: str) -> Policy:
        """The policy of a tenant's run of a flow or an agent. The same object every time."""
        return self._narrowed(self._policy, self.digest, tenant, name)

    def kept(self, store: Store, run: RunId) -> Policy:
        """The policy that a run names, also when the house has another one today. Raises BridleError."""
        state = store.recorded(run).state
        policy = self._policy
        if state.policy != self.digest:
            kept = store.policy(state.policy)
            if kept is None:
                raise BridleError(f"run {run} names the policy {state.policy}, which is not in the store")
            policy = Policy.parse(kept)
        if state.parent:
            return governing(store, state, policy)
        return self._narrowed(policy, state.policy, state.tenant, state.name)

    def opening(self, request: RunRequest) -> Opening:
        """The opening of a new run. Two requests for the same have the same fingerprint."""
        asked = "\0".join((request.tenant, request.by, request.name, request.version, self.digest)).encode()
        return Opening(
            run=new_id(self._world),
            tenant=TenantId(request.tenant),
            by=request.by,
            loop=request.loop,
            name=request.name,
            version=request.version,
            policy=self.of(request.tenant, request.name),
            digest=self.digest,
            canonical=self._canonical,
            key=RunKey(request.key, keyed(b"", asked + b"\0" + request.words)),
            input=request.words,
            finalise={},
        )

    def _narrowed(self, policy: Policy, digest: Digest, tenant: str, name: str) -> Policy:
        known = self._known.get((digest, tenant, name))
        if known is None:
            if len(self._known) >= KNOWN:  # tenants come and go; narrowing is cheap
                self._known.clear()
            known = self._known[digest, tenant, name] = policy.for_run(TenantId(tenant), name)
        return known


def governing(store: Store, state: RunState, policy: Policy) -> Policy:
    """The policy of a run under that of its house; a child's is that of its parent's step, within what it was given."""
    if not state.parent:
        return policy.for_run(state.tenant, state.name)
    parent = store.recorded(state.parent).state
    return bound(node_policy(governing(store, parent, policy), parent.name, state.within), state)
