"""`bridle check` and `bridle schema`: what a policy says, all that is wrong with it, and what it will mean."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bridle.cli.exits import ERROR, FOUND, OK
from bridle.cli.options import AsJson
from bridle.cli.screen import ERR, OUT, Span, bad, bold, dim, doubtful, good

if TYPE_CHECKING:
    from bridle.cli.foreseen import Foreseen
    from bridle.config import BadPolicy, Loaded, Mistake


def check(
    policy: Annotated[Path, Parameter(name="POLICY", show_default=False)] = Path("bridle.yaml"),
    /,
    *,
    app: str | None = None,
    as_json: AsJson = False,
) -> int:
    """Check a policy file: every mistake at once; or every setting in force, and what a call holds at worst.

    Parameters
    ----------
    policy
        The file. Default: bridle.yaml.
    app
        Your code, as module:b; the policy is compared with its tools and flows.
    """
    from bridle.cli.foreseen import foresee
    from bridle.config import BadPolicy, load_policy

    try:
        loaded = load_policy(policy)
    except BadPolicy as error:
        return _refused(policy, error, as_json=as_json)
    foreseen = foresee(loaded, app)
    code = _code(foreseen)
    if as_json:
        OUT.json(_document(policy, loaded, foreseen))
        return code
    _settings(policy, loaded)
    _worst(foreseen)
    _found(foreseen.found)
    return code


def schema() -> int:
    """Print the JSON Schema of the policy file, for editors."""
    from bridle.config import json_schema

    OUT.json(json_schema())
    return OK


def _code(foreseen: "Foreseen") -> int:
    from bridle.config import Severity

    if any(mistake.severity is Severity.ERROR for mistake in foreseen.found):
        return ERROR
    return FOUND if foreseen.found else OK


def _refused(policy: Path, error: "BadPolicy", *, as_json: bool) -> int:
    if as_json:
        OUT.json({"policy": str(policy), "ok": False, "mistakes": [_mistake(mistake) for mistake in error.mistakes]})
        return ERROR
    for mistake in error.mistakes:
        ERR.line(*_line(mistake))
    number = len(error.mistakes)
    ERR.line(bad(f"{'1 mistake' if number == 1 else f'{number} mistakes'}"), f" in {policy}; no run starts under it.")
    return ERROR


def _settings(policy: Path, loaded: "Loaded") -> None:
    from bridle.config import Origin, explain

    OUT.line(bold(str(policy)), dim(f"  policy {loaded.digest}"))
    OUT.line()
    rows: list[list[Span]] = []
    for row in explain(loaded.policy, loaded.defaults):
        is_default = row.origin is Origin.DEFAULT
        rows.append([row.path, dim(row.value) if is_default else row.value, dim("default") if is_default else ""])
    OUT.table(rows, indent="  ")
    OUT.line()


def _worst(foreseen: "Foreseen") -> None:
    OUT.line(bold("at worst"))
    for sentence in foreseen.worst:
        OUT.hanging(("  ",), sentence)
    OUT.line()


def _found(found: "tuple[Mistake, ...]") -> None:
    for mistake in found:
        OUT.line(*_line(mistake))
    if not found:
        OUT.line(good("ok"), "  Nothing to correct.")


def _line(mistake: "Mistake") -> tuple[Span, ...]:
    colour = {"error": bad, "warning": doubtful}.get(mistake.severity.value, bold)
    where = f"{mistake.where}: " if mistake.where else ""
    said = " ".join(part for part in (mistake.path, mistake.message) if part)
    return (where, colour(f"{mistake.severity.value}: "), said, dim(f"; {mistake.hint}") if mistake.hint else "")


def _mistake(mistake: "Mistake") -> dict[str, str]:
    return {
        "where": mistake.where,
        "path": mistake.path,
        "severity": mistake.severity.value,
        "message": mistake.message,
        "hint": mistake.hint,
    }


def _document(policy: Path, loaded: "Loaded", foreseen: "Foreseen") -> dict[str, object]:
    from bridle.config import explain

    rows = explain(loaded.policy, loaded.defaults)
    return {
        "policy": str(policy),
        "ok": _code(foreseen) != ERROR,
        "digest": loaded.digest,
        "settings": [{"path": row.path, "value": row.value, "origin": row.origin.value} for row in rows],
        "worst_case": list(foreseen.worst),
        "mistakes": [_mistake(mistake) for mistake in foreseen.found],
    }
