"""The two incidents of the beginning, as worlds that both a naive loop and bridle can be let loose in.

Each gives an Outcome that the world itself measured, in an oracle ledger which bridle never writes. What opens a
house is an argument: `lambda policy, models, world: Bridle(policy, ":memory:", models=models, world=world)`.
May import the rooms below `bridle.bridle`. Its tests are in tests/incidents.
"""

from bridle.testing.incidents.ledger import Bill, Bounded, Outcome, Told
from bridle.testing.incidents.outage import outage_bounded, outage_unbounded
from bridle.testing.incidents.research import research_bounded, research_unbounded

__all__ = [
    "Bill",
    "Bounded",
    "Outcome",
    "Told",
    "outage_bounded",
    "outage_unbounded",
    "research_bounded",
    "research_unbounded",
]
