"""The keys of writes: made from the arguments, printable, bounded, and never the same for two tenants or two tools."""

import hashlib
from collections.abc import Mapping
from urllib.parse import quote

from bridle.gateway.schemas import Schema
from bridle.rules import strict_json
from bridle.rules.effect import blanks
from bridle.rules.failure import BridleError
from bridle.rules.names import Effect, RunId, TenantId, ToolName
from bridle.rules.strict_json import Json
from bridle.rules.tool import Tool

MOST = 255  # characters, as far ends take them (Stripe: 255)
KEPT = MOST - 65  # of a longer one; the rest is its digest


def business_key(template: str, arguments: Mapping[str, Json]) -> str:
    """The template with its blanks filled. What a value may not put into a header is percent-encoded (RFC 3986)."""
    return _bounded(template.format_map({name: _printable(arguments[name]) for name in blanks(template)}))


def sent_key(tenant: TenantId, tool: ToolName, run: RunId, key: str) -> str:
    """What the far end is sent: the key of one call as it is, which names its run; a business key within its scope."""
    if key.startswith(f"{run}/"):
        return key
    return _bounded(f"{quote(tenant, safe='')}/{quote(tool, safe='.:')}/{key}")


def check_template(tool: Tool, takes: Schema) -> None:
    """Raises BridleError for a template that some call of the tool could not fill."""
    if not tool.key:
        return
    where = f"the tool {tool.name}: key {tool.key!r}"
    if tool.effect is not Effect.WRITE:
        raise BridleError(f"{where}: only a write has one; its effect is {tool.effect}")
    try:
        wanted = blanks(tool.key)
    except ValueError as error:
        raise BridleError(f"{where}: {error}") from error
    if not wanted:
        raise BridleError(f"{where} names no argument, so that every call would be the same write; write one in braces")
    properties, required = takes.document.get("properties", {}), takes.document.get("required", [])
    known = list(properties) if isinstance(properties, Mapping) else []
    always = required if isinstance(required, list) else []
    for name in wanted:
        if name not in known:
            raise BridleError(f"{where}: there is no argument {name}; there are {', '.join(known) or 'none'}")
        if name not in always:
            raise BridleError(f"{where}: {name} may be left out; a key is made of arguments that are always there")


def _printable(value: Json) -> str:
    text = value if isinstance(value, str) else strict_json.canonical(value).decode()
    return quote(text, safe="@")


def _bounded(key: str) -> str:
    return key if len(key) <= MOST else f"{key[:KEPT]}#{hashlib.sha256(key.encode()).hexdigest()}"
