"""Public doubles for tests of agents: a scripted model, a fake tool, virtual time, and two incidents to stop.

May import what stands below `bridle.bridle`; what needs a whole house takes it as an argument. Nothing here is used
by bridle at work. Its tests are in tests/testing and tests/incidents.
"""

from bridle.models.scripted import Block, ScriptedModel, Turn
from bridle.testing.fake_tool import Fails, FakeTool, Returns
from bridle.testing.hostile import HOSTILE
from bridle.testing.virtual_time import Deadlock, VirtualLoop, run_virtual, virtual_world

__all__ = [
    "HOSTILE",
    "Block",
    "Deadlock",
    "Fails",
    "FakeTool",
    "Returns",
    "ScriptedModel",
    "Turn",
    "VirtualLoop",
    "run_virtual",
    "virtual_world",
]
