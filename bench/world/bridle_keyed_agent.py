"""bridle, where the write says by what its far end knows it again."""

from bench.world import bridle_agent
from bridle.gateway.labels import Labels


class Agent(bridle_agent.Agent):
    """The same house; only the label of the write is another one."""

    refund = Labels(effect="write", source="trusted", idempotency="key", key="refund:{order}")
