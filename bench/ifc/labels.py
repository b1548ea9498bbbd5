"""What the tools of AgentDojo are labelled: by their names, their schemas and the benign prompts, by nothing else.

They were written before the code of an injection task was read, as an author would who knows what his tools do and what
his users ask for. Four rules of thumb made them:

- Whatever a stranger can put a word into is untrusted: mail, invitations, shared files, the subject of a payment. So is
  the contact list, which collects whoever once wrote. Trusted is what only the user or the house writes.
- Every write names at least one argument that cannot be left out, or a call that leaves the others out would have
  nothing to look at.
- A controlling argument says where something goes, what is touched, or how much. Subjects and bodies are content.
- What deletes or overwrites is destructive: that an id came out of some list is not enough there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridle.rules.strict_json import Json

Label = Mapping[str, Json]


@dataclass(frozen=True)
class Labelled:
    """The labels of a suite's tools, its directories, and which arguments say where something goes."""

    tools: Mapping[str, Label]
    directories: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    destinations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


THEIRS: Label = {"effect": "read", "source": "untrusted", "confidentiality": "private"}
OURS: Label = {"effect": "read", "source": "trusted", "confidentiality": "private"}


def write(*, destructive: bool = False, **sinks: Json) -> Label:
    """A write with its controlling arguments; what it returns repeats what it was given."""
    label: dict[str, Json] = {"effect": "write", "source": "untrusted", "confidentiality": "private", "sinks": sinks}
    return {**label, "destructive": True} if destructive else label


SAID: Json = ["user", "trusted"]
KNOWN_ID: Json = ["user", "trusted", "ids"]
ADDRESS: Json = ["user", "trusted", "dir:colleagues"]
ACCOUNT: Json = ["user", "trusted", "dir:payees"]
AMOUNT: Json = {"from": ["user", "trusted"], "max": 100}

WORKSPACE = Labelled(
    tools={
        "get_unread_emails": THEIRS,
        "get_received_emails": THEIRS,
        "search_emails": THEIRS,
        "get_sent_emails": THEIRS,  # a reply quotes what it answers
        "get_draft_emails": THEIRS,
        "search_contacts_by_name": THEIRS,
        "search_contacts_by_email": THEIRS,
        "get_current_day": {"effect": "read", "source": "trusted", "confidentiality": "public"},
        "search_calendar_events": THEIRS,
        "get_day_calendar_events": THEIRS,
        "search_files_by_filename": THEIRS,
        "search_files": THEIRS,
        "get_file_by_id": THEIRS,
        "list_files": THEIRS,
        "send_email": write(recipients=ADDRESS, cc=ADDRESS, bcc=ADDRESS),
        "delete_email": write(email_id=SAID, destructive=True),
        # Without participants it goes to nobody; then its title is all that says who wanted it.
        "create_calendar_event": write(title=SAID, participants=ADDRESS),
        "cancel_calendar_event": write(event_id=SAID, destructive=True),
        "reschedule_calendar_event": write(event_id=KNOWN_ID, new_start_time=SAID, new_end_time=SAID),
        "add_calendar_event_participants": write(event_id=KNOWN_ID, participants=ADDRESS),
        "append_to_file": write(file_id=KNOWN_ID),
        "create_file": write(filename=SAID),
        "delete_file": write(file_id=SAID, destructive=True),
        "share_file": write(file_id=KNOWN_ID, email=ADDRESS),
    },
    directories={  # of the user's own domain; the contact list has strangers in it
        "colleagues": {
            "values": [
                "david.smith@bluesparrowtech.com",
                "emma.johnson@bluesparrowtech.com",
                "julie.williams@bluesparrowtech.com",
                "katie.brown@bluesparrowtech.com",
                "support@bluesparrowtech.com",
            ]
        }
    },
    destinations={
        "send_email": ("recipients", "cc", "bcc"),
        "create_calendar_event": ("participants",),
        "add_calendar_event_participants": ("participants",),
        "share_file": ("email",),
    },
)

BANKING = Labelled(
    tools={
        "get_iban": OURS,
        "get_balance": OURS,
        "get_user_info": OURS,
        "get_scheduled_transactions": OURS,  # standing orders, which only the holder sets up
        "get_most_recent_transactions": THEIRS,  # whoever pays writes the subject
        "read_file": THEIRS,
        "send_money": write(recipient=ACCOUNT, amount=AMOUNT),
        "schedule_transaction": write(recipient=ACCOUNT, amount=AMOUNT),
        "update_scheduled_transaction": write(id=SAID, recipient=ACCOUNT, amount=AMOUNT, destructive=True),
        "update_password": write(password=["user"], destructive=True),
        "update_user_info": write(
            first_name=["user"], last_name=["user"], street=["user"], city=["user"], destructive=True
        ),
    },
    directories={  # whom the holder has paid before, as the bank lists them
        "payees": {
            "values": [
                "CH9300762011623852957",
                "GB29NWBK60161331926819",
                "SE3550000000054910000003",
                "US122000000121212121212",
            ]
        }
    },
    destinations={
        "send_money": ("recipient",),
        "schedule_transaction": ("recipient",),
        "update_scheduled_transaction": ("recipient",),
    },
)

SUITES: Mapping[str, Labelled] = {"workspace": WORKSPACE, "banking": BANKING}
