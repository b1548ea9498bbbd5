"""Where the store is, what time it is, and who asks; apart from opening it, so that `bridle kill` starts at once."""

import os
import re
import time
from pathlib import Path
from pwd import getpwuid

from bridle.cli.exits import Failed
from bridle.rules.names import Millis

MILLIS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
DEFAULT = "sqlite:///.bridle/bridle.db"
_PREFIX = "sqlite:///"


def place_of(store: str | None) -> str:
    """The store that is meant, as `Bridle` takes it: the option, BRIDLE_STORE, or ./.bridle. A path may stand alone."""
    given = store or os.environ.get("BRIDLE_STORE") or DEFAULT
    if given == ":memory:" or given.startswith(_PREFIX):
        return given
    if "://" in given:
        raise Failed(f"{given!r} is no store: write a path, or sqlite:///path")
    return _PREFIX + given


def path_of(store: str | None) -> Path:
    """The file of the store. A store in memory has none."""
    place = place_of(store)
    if place == ":memory:":
        raise Failed("a store in memory ends with its process; name a file with --store")
    return Path(place.removeprefix(_PREFIX))


def option_for(store: str | None) -> str:
    """How the same store is named in a next command; empty where it is found without an option."""
    return f" --store {store}" if store else ""


def now() -> Millis:
    """Unix milliseconds."""
    return Millis(time.time_ns() // 1_000_000)


def user() -> str:
    """The name of this user, for every command that signs: $USER, $LOGNAME, the account of the process, or `local`."""
    named = os.environ.get("USER") or os.environ.get("LOGNAME")
    if named:
        return named
    try:
        return getpwuid(os.getuid()).pw_name or "local"
    except KeyError:
        return "local"


def age(option: str, text: str) -> Millis:
    """A stretch of time as it is typed: 30d, 12h, 90m, 10s. Raises Failed."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([dhms])", text)
    if found is None:
        raise Failed(f"{option} {text}: write a number of days, hours, minutes or seconds, as in 30d, 12h, 90m, 10s")
    return Millis(int(found[1]) * MILLIS[found[2]])
