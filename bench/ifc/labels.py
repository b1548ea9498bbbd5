"""What the tools of AgentDojo are labelled: by their names, their schemas and the benign prompts, by nothing else.

They were written before the code of an injection task was read, as an author would who knows what his tools do and what
his users ask for; those of `slack` and `travel` when the rule was finished, which had never seen them. Five rules of
thumb made them:

- Whatever a stranger can put a word into is untrusted: mail, invitations, shared files, the subject of a payment, a web
  page, what a hotel says of itself, the name of a channel that is shared with outsiders. So is the contact list, which
  collects whoever once wrote. Trusted is what only the user or the house writes.
- Every write names at least one argument that cannot be left out, or a call that leaves the others out would have
  nothing to look at.
- A controlling argument says where something goes, what is touched, or how much. Subjects and bodies are content.
- What deletes or overwrites is destructive: that an id came out of some list is not enough there.
- What goes to an address on the web is an egress by that address.
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
LISTED: Label = {"effect": "read", "source": "untrusted", "confidentiality": "public"}


def write(*, destructive: bool = False, **sinks: Json) -> Label:
    """A write with its controlling arguments; what it returns repeats what it was given."""
    label: dict[str, Json] = {"effect": "write", "source": "untrusted", "confidentiality": "private", "sinks": sinks}
    return {**label, "destructive": True} if destructive else label


def egress(**sinks: Json) -> Label:
    """What goes out to an address, and brings back what stands there for everybody."""
    return {"effect": "egress", "source": "untrusted", "confidentiality": "public", "sinks": sinks}


SAID: Json = ["user", "trusted"]
KNOWN_ID: Json = ["user", "trusted", "ids"]
ADDRESS: Json = ["user", "trusted", "dir:colleagues"]
ACCOUNT: Json = ["user", "trusted", "dir:payees"]
AMOUNT: Json = {"from": ["user", "trusted"], "max": 100}
MEMBER: Json = ["user", "trusted", "dir:members"]
CHANNEL: Json = ["user", "trusted", "dir:channels"]
SITE, LISTS = "www.our-company.com", "www.company-todo-list.com"

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

SLACK = Labelled(
    tools={
        "get_channels": THEIRS,  # some are shared with outsiders, who name theirs
        "get_users_in_channel": OURS,  # who is a member, and under which name, is for the house to say: it invites them
        "read_channel_messages": THEIRS,
        "read_inbox": THEIRS,
        "send_direct_message": write(recipient=MEMBER),
        "send_channel_message": write(channel=CHANNEL),
        "add_user_to_channel": write(user=MEMBER, channel=CHANNEL),
        "invite_user_to_slack": write(user=SAID, user_email=SAID),
        "remove_user_from_slack": write(user=SAID, destructive=True),
        "get_webpage": egress(url={"from": SAID, "hosts": [SITE, LISTS]}),
        "post_webpage": egress(url={"from": SAID, "hosts": [SITE]}),
    },
    directories={
        "members": {"tool": "get_users_in_channel"},
        "channels": {"values": ["general", "private", "random"]},  # those that no outsider reads
    },
    destinations={
        "send_direct_message": ("recipient",),
        "send_channel_message": ("channel",),
        "add_user_to_channel": ("user", "channel"),
        "invite_user_to_slack": ("user_email",),
        "get_webpage": ("url",),
        "post_webpage": ("url",),
    },
)

TRAVEL = Labelled(  # a traveller's house knows its user and nobody else: it has no directory
    tools={
        "get_user_information": OURS,
        "get_all_hotels_in_city": LISTED,  # a hotel writes what is listed of it, and its guests the reviews
        "get_hotels_prices": LISTED,
        "get_rating_reviews_for_hotels": LISTED,
        "get_hotels_address": LISTED,
        "get_all_restaurants_in_city": LISTED,
        "get_cuisine_type_for_restaurants": LISTED,
        "get_restaurants_address": LISTED,
        "get_rating_reviews_for_restaurants": LISTED,
        "get_dietary_restrictions_for_all_restaurants": LISTED,
        "get_contact_information_for_restaurants": LISTED,
        "get_price_for_restaurants": LISTED,
        "check_restaurant_opening_hours": LISTED,
        "get_all_car_rental_companies_in_city": LISTED,
        "get_car_types_available": LISTED,
        "get_rating_reviews_for_car_rental": LISTED,
        "get_car_fuel_options": LISTED,
        "get_car_rental_address": LISTED,
        "get_car_price_per_day": LISTED,
        "get_flight_information": LISTED,
        "search_calendar_events": THEIRS,
        "get_day_calendar_events": THEIRS,
        "create_calendar_event": write(title=SAID, participants=SAID),
        "cancel_calendar_event": write(event_id=SAID, destructive=True),
        "reserve_hotel": write(hotel=SAID, start_day=SAID, end_day=SAID),
        "reserve_restaurant": write(restaurant=SAID, start_time=SAID),
        "reserve_car_rental": write(company=SAID, start_time=SAID, end_time=SAID),
        "send_email": write(recipients=SAID, cc=SAID, bcc=SAID),
    },
    destinations={
        "create_calendar_event": ("participants",),
        "reserve_hotel": ("hotel",),
        "reserve_restaurant": ("restaurant",),
        "reserve_car_rental": ("company",),
        "send_email": ("recipients", "cc", "bcc"),
    },
)

SUITES: Mapping[str, Labelled] = {"workspace": WORKSPACE, "banking": BANKING, "slack": SLACK, "travel": TRAVEL}
