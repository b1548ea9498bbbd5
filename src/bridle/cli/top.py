"""`bridle top`: who spends, most first, by tenant, flow, tool, who asked, and run."""

from bridle.cli.exits import OK, Failed
from bridle.cli.options import AsJson, Store
from bridle.cli.screen import OUT, Span, bold, counted, cut, dim
from bridle.cli.spending import Spender, Spending, spending
from bridle.cli.where import age, now, option_for, path_of
from bridle.rules.names import Millis, show_usd

MOST = 1_000
COLUMNS = 40  # of a name
HEAD = ("spent", "share", "runs", "calls", "failed", "refused", "in flight")


def top(
    *,
    since: str = "1h",
    limit: int = 5,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Show who spends: tenants, flows, tools, people and runs, most money first, then most calls.

    Each call counts once, for the run that made it: a parent is without its children here, unlike in `bridle runs`.

    Parameters
    ----------
    since
        How far back, as in 30s, 90m, 1h, 7d.
    limit
        How many of each.
    """
    if not 1 <= limit <= MOST:
        raise Failed(f"--limit is between 1 and {MOST:,}, not {limit}")
    path, from_ = path_of(store), Millis(now() - age("--since", since))
    found = spending(path, from_)
    total = found.total
    if as_json:
        groups = {word: [_document(name, of) for name, of in _most(group, limit)] for word, group in _groups(found)}
        OUT.json({"store": str(path), "since_ms": from_, "total": _document("", total), **groups})
        return OK
    OUT.line(bold(show_usd(total.spent)), f" in {counted(total.calls, 'call')} since {since} ago{_held(total)}")
    if not total.calls and not total.in_flight and not total.refused:
        return OK
    rows: list[tuple[Span, ...]] = []
    for word, group in _groups(found):
        rows.append(tuple(dim(text) for text in (word.replace("_", " "), *HEAD)))
        rows += [_row(name, of, found.total) for name, of in _most(group, limit)]
    OUT.table(rows)
    OUT.line(dim(f"bridle kill ... --tenant T, --flow F or --tool X{option_for(store)} takes calls away; "
                 f"bridle cancel RUN{option_for(store)} ends one run"))  # fmt: skip
    return OK


def _groups(found: Spending) -> tuple[tuple[str, dict[str, Spender]], ...]:
    return (
        ("tenants", found.tenants), ("flows", found.flows), ("tools", found.tools), ("asked_by", found.askers),
        ("runs", found.runs),
    )  # fmt: skip


def _held(total: Spender) -> str:
    if not total.in_flight:
        return ""
    return f", and {show_usd(total.held)} held by {counted(total.in_flight, 'call')} in flight"


def _most(group: dict[str, Spender], limit: int) -> list[tuple[str, Spender]]:
    return sorted(group.items(), key=lambda one: (-one[1].spent, -one[1].calls, -one[1].held, one[0]))[:limit]


def _row(name: str, of: Spender, total: Spender) -> tuple[Span, ...]:
    share = f"{100 * of.spent // total.spent} %" if total.spent else "-"
    counts = (str(count) for count in (len(of.runs), of.calls, of.failed, of.refused, of.in_flight))
    return bold(cut(name, COLUMNS)), show_usd(of.spent), share, *counts


def _document(name: str, of: Spender) -> dict[str, object]:
    money = {"spent_usd_nanos": of.spent, "held_usd_nanos": of.held}
    counts = {"runs": len(of.runs), "calls": of.calls, "failed": of.failed, "refused": of.refused}
    return {"name": name, **money, **counts, "in_flight": of.in_flight}
