"""What the chain of the house is about: facts that belong to no single run, and the heads of runs that have ended."""

from dataclasses import field
from enum import StrEnum

from bridle.rules.data import data
from bridle.rules.names import Millis
from bridle.rules.stop import Detail


class Matter(StrEnum):
    """What an entry is about; the comment says what its subject is. The set only grows."""

    RUN_ENDED = "run_ended"  # the run; written again when a late settlement follows its end
    POLICY_KEPT = "policy_kept"  # its digest
    PAYLOADS_ERASED = "payloads_erased"  # the run
    SWITCH_TURNED = "switch_turned"  # its scope
    DOUBT_RESOLVED = "doubt_resolved"  # the run and the call


@data
class Note:
    """One entry of the house. `detail` holds no secret: it is exported, and never erased."""

    at: Millis
    matter: Matter
    subject: str
    detail: Detail = field(default_factory=dict)
