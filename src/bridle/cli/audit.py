"""`bridle audit`: recomputes the chains, exports them, says where they end, signs that, erases payloads."""

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from bridle.cli.exits import FOUND, OK, Failed
from bridle.cli.options import AsJson, Store
from bridle.cli.place import ids, meant, reading
from bridle.cli.screen import ERR, OUT, bad, bold, counted, dim, doubtful, good, size
from bridle.cli.where import age, now, path_of, user
from bridle.rules.names import Millis, RunId

MOST_GAPS = 1_000  # that are named
MOST_SHOWN = 20  # on the screen; --json has all that are named

audit = App(name="audit", version_flags=[])


@audit.command
def verify(
    *,
    run: str | None = None,
    since: Annotated[str | None, Parameter(name="--from")] = None,
    checkpoints: Path | None = None,
    key: Path | None = None,
    head: Annotated[list[str] | None, Parameter(negative="")] = None,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Recompute every chain, and compare it with the house, the checkpoints and the payloads. Exits 2 on a gap.

    Parameters
    ----------
    run
        Only this run, beside the house.
    since
        Only runs that moved since this day, as in 2026-11-01; the house is always walked as a whole.
    checkpoints
        The file of checkpoints. Default: BRIDLE_AUDIT_TO, or the file beside the store.
    key
        The public key of the checkpoints. Default: beside the private one.
    head
        A head that you hold, of a result or of the house, as hex; may be given several times.
    """
    from bridle.cli.evidence import examined, held_lines

    path = path_of(store)
    lines = held_lines(path, checkpoints, key)  # before the rows: what was signed by now, they have to reach
    only = _named(path, run) if run is not None else None
    found = examined(path, lines, [_hash(each) for each in head or ()], only, _day(since), MOST_GAPS)
    if only is not None and not found.runs and not found.gaps:
        raise Failed(f"there is no run {run} in {path}; `bridle runs` lists them")
    if as_json:
        OUT.json(found.document())
        return FOUND if found.gaps else OK
    house = f"{counted(found.entries, 'entry')}, head {found.head.hash.hex()}"
    erased = f", {counted(found.erased, 'run')} erased" if found.erased else ""
    OUT.line(good("looked at  "), bold("house  "), house)
    OUT.line(
        good("looked at  "), bold("runs   "), f"{counted(found.runs, 'run')}, {counted(found.events, 'event')}{erased}"
    )
    for text in lines.notes:
        OUT.line(doubtful("note       "), text)
    for gap in found.gaps[:MOST_SHOWN]:
        OUT.line(bad("gap        "), bold(f"{gap.where}  "), gap.what)
    if len(found.gaps) > MOST_SHOWN:
        OUT.line(dim(f"           ... and {len(found.gaps) - MOST_SHOWN} more; --json has them"))
    if not found.gaps:
        OUT.line(good("ok         "), f"nothing is missing, added or changed, {lines.reach()}")
    return FOUND if found.gaps else OK


@audit.command
def export(*, run: str | None = None, store: Store = None) -> int:
    """Print everything that is needed to recompute the chains without bridle, as JSON lines.

    Parameters
    ----------
    run
        Only this run, beside the house.
    """
    from bridle.store.audit import exported, snapshot
    from bridle.store.sinks import file_of

    path = path_of(store)
    only = _named(path, run) if run is not None else None
    file = file_of(path, os.environ.get("BRIDLE_AUDIT_TO")).path
    signed = file.read_bytes().splitlines() if file.exists() else []
    with snapshot(path) as db:
        for line in exported(db, signed, only):
            OUT.stream.write(
                json.dumps(line, ensure_ascii=True, separators=(",", ":")).replace("\x7f", "\\u007f") + "\n"
            )
    return OK


@audit.command
def head(
    run: Annotated[str | None, Parameter(name="RUN", show_default=False)] = None,
    /,
    *,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Print where the chain of the house ends, or that of a run. Kept elsewhere, it shows a journal that was cut.

    Parameters
    ----------
    run
        Its id, an unambiguous beginning of it, or last. Default: the house.
    """
    from bridle.store import house
    from bridle.store.audit import snapshot
    from bridle.store.chain import HOUSE

    path = path_of(store)
    if run is None:
        with snapshot(path) as db:
            end = house.last(db)
        chain, seq, hash_ = HOUSE, end.seq, end.hash
    else:
        with reading(path) as opened:
            recorded = opened.recorded(meant(opened, run))
        chain, seq, hash_ = recorded.state.run, recorded.state.seq, recorded.head
    if as_json:
        OUT.json({"chain": chain, "seq": seq, "head": hash_.hex()})
    else:
        OUT.line(f"{chain} {seq} {hash_.hex()}")
    return OK


@audit.command
def erase(
    run: Annotated[str | None, Parameter(name="RUN", show_default=False)] = None,
    /,
    *,
    older_than: str | None = None,
    tenant: str | None = None,
    by: str | None = None,
    because: str = "",
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Erase what runs that have ended kept beside their journals: inputs, arguments, results, states, answers.

    Their events stay, with keyed digests that say nothing without the salt of the run, which is erased as well.

    Parameters
    ----------
    run
        Its id, an unambiguous beginning of it, or last.
    older_than
        Instead of a run: every run that ended so long ago, as in 30d, 12h, 90m.
    tenant
        With --older-than: only runs of this tenant.
    by
        Who erases, for the journal. Default: the name of this user.
    because
        Why, for the journal. It is never erased.
    """
    from bridle.cli.evidence import erased
    from bridle.store.base import Grounds

    if (run is None) == (older_than is None):
        raise Failed("name a run, or --older-than with an age as in 30d; one of the two")
    if tenant is not None and older_than is None:
        raise Failed("--tenant goes with --older-than")
    path, at = path_of(store), now()
    grounds = Grounds(at, by or user(), because)
    before = Millis(at - age("--older-than", older_than)) if older_than is not None else None
    done = erased(path, run, before, tenant, grounds)
    if run is not None and done.kept:
        raise Failed(f"{done.kept[0].run} keeps its payloads: {done.kept[0].kept}")
    if as_json:
        OUT.json(done.document())
        return OK
    whose = done.runs[0].run if run is not None and done.runs else counted(len(done.runs), "run")
    OUT.line(f"{whose}: {counted(done.payloads, 'payload')} of {size(done.bytes)} erased")
    for kept in done.kept[:MOST_SHOWN]:
        OUT.line(doubtful("kept  "), f"{kept.run}: {kept.kept}")
    if not done.is_wiped:
        ERR.line(dim("somebody reads this store just now: its write-ahead log keeps the old pages; erase again later"))
    return OK


@audit.command(name="init-key")
def init_key(*, key: Path | None = None, store: Store = None) -> int:
    """Make the key that signs checkpoints, once; from its next start on, each process that drives runs signs.

    Parameters
    ----------
    key
        Where the private key goes; the public one beside it. Default: BRIDLE_AUDIT_KEY, or beside the store.
    """
    from bridle.store import house, signing
    from bridle.store.audit import snapshot
    from bridle.store.sinks import file_of
    from bridle.store.witness import witness_with

    path = path_of(store)
    named = key or Path(os.environ.get("BRIDLE_AUDIT_KEY") or path.with_name(path.name + signing.SUFFIX))
    file = file_of(path, os.environ.get("BRIDLE_AUDIT_TO"))
    if file.path.exists() and not named.exists():
        raise Failed(f"{file.path}: these checkpoints were signed by another key; move them away with its public half")
    named.absolute().parent.mkdir(parents=True, exist_ok=True)
    made = signing.make(named)
    if path.exists():  # so that checkpoints that are missing are a gap from now on
        with snapshot(path) as db:
            witness_with(made, file, (), now).begin(lambda: house.ends(db))
    OUT.line(
        f"{named} signs checkpoints from the next start on (key {made.key}); keep it for the user of the house alone."
    )
    OUT.line(f"{signing.public_of(named)} is for whoever verifies: keep a copy of it elsewhere.")
    if os.environ.get("BRIDLE_AUDIT_KEY") is None and key is not None:
        OUT.line(dim(f"The house finds it by BRIDLE_AUDIT_KEY={named}"))
    return OK


def _named(path: Path, text: str) -> RunId:
    """The run that is meant, also where its row is damaged or gone. Raises Failed."""
    if text == "last":
        with reading(path) as opened:
            return meant(opened, text)
    found = ids(path, text, 2)
    if len(found) > 1 and text not in found:
        raise Failed(f"{text} may be several runs; write more of the id")
    return found[0] if len(found) == 1 else RunId(text)


def _hash(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise Failed(f"--head {text}: a head has 64 hex digits")
    return bytes.fromhex(text)


def _day(text: str | None) -> Millis:
    if text is None:
        return Millis(0)
    try:
        day = datetime.fromisoformat(text)
    except ValueError as error:
        raise Failed(f"--from {text}: write a day or a time, as in 2026-11-01 or 2026-11-01T12:00") from error
    return Millis(int((day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()) * 1_000)
