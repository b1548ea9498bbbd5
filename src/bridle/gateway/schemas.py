"""What arguments and results must look like: JSON Schemas from mappings, models or annotations, compiled once."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from enum import Enum
from functools import lru_cache, partial
from hashlib import sha256
from itertools import islice
from types import NoneType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Literal, Union, cast, get_args, get_origin, get_type_hints

from bridle.gateway.cleaning import clean
from bridle.rules.strict_json import BadJson, Json, canonical, show_path

if TYPE_CHECKING:  # both are heavy; they are imported when the first schema is built
    from jsonschema_rs import ValidationError, Validator
    from pydantic import TypeAdapter

MAX_SCHEMA_BYTES = 256 * 1024
MAX_ERRORS = 5
_MAX_PARTS = 4_000  # beyond them errors are not told apart: the validator collects all before it shows the first
_MAX_MESSAGE = 300
_MAX_NAME = 64
_MAX_KNOWN = 200
_BACKTRACK_LIMIT = 10_000
_MASK = "the value"

_PLAIN_TYPES: dict[object, str] = {
    str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null", None: "null",
    list: "array", dict: "object",
}  # fmt: skip

Document = dict[str, Json]


class BadSchema(ValueError):
    """A schema that cannot be used, with the path of the mistake; raised when a tool is declared, never by a call."""

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(f"{where}: {what}" if where else what)
        self.what = what
        self.where = where


class BadArguments(ValueError):
    """Arguments that fit the schema and still do not make the parameter's type; `errors` as `Schema.errors`."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


class Schema:
    """A JSON Schema (draft 2020-12 unless `$schema` says otherwise), checked and compiled.

    `document` is the schema itself, `digest` 32 hex digits of the sha256 of its canonical JSON. A `$ref` never leaves
    the document. Patterns run in linear time; one that needs look-around or back-references runs under a limit of
    backtracking steps, and a text that exceeds it does not match.
    """

    __slots__ = ("_validator", "digest", "document")

    def __init__(self, document: Mapping[str, object]) -> None:
        try:
            cleaned = clean(document, max_bytes=MAX_SCHEMA_BYTES)
        except BadJson as bad:
            raise BadSchema(bad.what, bad.where) from None
        assert isinstance(cleaned, dict)
        self.document: Document = cleaned
        self.digest = sha256(canonical(cleaned)).hexdigest()[:32]
        self._validator = _compiled(cleaned)

    @classmethod
    def of(cls, source: object, *, returned: bool = False) -> "Schema":
        """From a JSON Schema mapping, a pydantic model, a dataclass or any annotation; None admits every value.

        `returned` asks for what the type looks like after it was written as JSON, which is not always what it takes.
        Raises `BadSchema`.
        """
        if source is None:
            return cls({})
        if isinstance(source, Mapping):
            return cls(source)
        if isinstance(source, str):
            raise BadSchema("a text is not a schema; give a mapping or a type")
        plain = _plain(source)
        if plain is not None:
            return cls(plain)
        schemas, definitions = _by_pydantic({"$": source}, returned=returned)
        return cls({**schemas["$"], **definitions})

    @classmethod
    def of_parameters(cls, function: Callable[..., object]) -> "Schema":
        """The object that holds a function's arguments by name; a `call` parameter for the context is left out.

        A parameter without an annotation takes any value; one with a default is not required. Raises `BadSchema` for
        `*args`, `**kwargs`, positional-only parameters, and annotations that have no JSON Schema.
        """
        properties: dict[str, Document] = {}
        rich: dict[str, object] = {}
        required: list[Json] = []
        for name, (annotation, default) in _parameters(function).items():
            plain = _plain(annotation)
            properties[name] = plain or {}
            if plain is None:
                rich[name] = annotation
            if default is inspect.Parameter.empty:
                required.append(name)
        schemas, definitions = _by_pydantic(rich, returned=False) if rich else ({}, {})
        _converters(function)
        return cls(
            {
                "type": "object",
                "properties": {**properties, **schemas},
                "required": required,
                "additionalProperties": False,
                **definitions,
            }
        )

    def is_valid(self, value: Json) -> bool:
        """Whether the value fits."""
        try:
            return self._validator.is_valid(value)
        except ValueError:  # not JSON, or nested beyond the validator's stack: what cannot be judged does not fit
            return False

    def errors(self, value: Json) -> tuple[str, ...]:
        """Why the value does not fit: at most five sentences `path: what`, without any of its values; () if it fits."""
        if self.is_valid(value):
            return ()
        if any(True for _ in islice(_parts(value), _MAX_PARTS, None)):
            return (f"$: does not fit the schema; it has more than {_MAX_PARTS:,} parts, too many to say where",)
        try:
            found = self._validator.iter_errors(value)
        except ValueError:
            return ("$: is not strict JSON",)
        sentences = (sentence for error in found for sentence in _sentences(error, self.document))
        return tuple(islice(sentences, MAX_ERRORS))


def coerce(function: Callable[..., object], arguments: Mapping[str, Json]) -> Mapping[str, object]:
    """Arguments as the function's annotations want them: models, dataclasses, dates, enums are built.

    For a function of plain types these are the very arguments that came in. Raises `BadArguments`.
    """
    converters = _converters(function)
    if not converters:
        return arguments
    return {name: converters[name](value) if name in converters else value for name, value in arguments.items()}


def _compiled(document: Document) -> "Validator":
    from jsonschema_rs import FancyRegexOptions, ReferencingError, RegexOptions, validator_for

    problem: Exception = ValueError("cannot be compiled")
    for options in (RegexOptions(), FancyRegexOptions(backtrack_limit=_BACKTRACK_LIMIT)):
        try:
            return validator_for(document, offline=True, mask=_MASK, pattern_options=options)
        except (ValueError, ReferencingError) as error:
            problem = error
    raise _bad_schema(problem, document)


def _bad_schema(error: Exception, document: Document) -> BadSchema:
    path: list[str | int] = getattr(error, "instance_path", [])
    message = _cut(getattr(error, "message", str(error)), _MAX_MESSAGE)
    if path[-1:] == ["type"]:
        return BadSchema(_bad_type(_at(document, path)), show_path(path))
    if path[-1:] == ["pattern"]:
        return BadSchema("is not a regular expression that can be used here", show_path(path))
    if path:
        return BadSchema(message, show_path(path))
    for place, reference in _references(document, ()):
        if reference.lstrip("#") in message:
            return BadSchema(f"leads to nothing inside of the schema ({message})", show_path(place))
    return BadSchema(message, "$")


def _bad_type(value: Json) -> str:
    words = sorted(set(_PLAIN_TYPES.values()))
    hint = _did_you_mean(value, words) if isinstance(value, str) else ""
    return f"is not one of the types of JSON Schema, {', '.join(words)}{hint}"


def _references(value: Json, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    pairs = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, item in pairs:
        if key in ("$ref", "$dynamicRef", "$schema") and isinstance(item, str):
            yield (*path, key), item
        else:
            yield from _references(item, (*path, key))


def _at(value: Json, path: list[str | int]) -> Json:
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _parts(value: Json) -> Iterator[Json]:
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _parts(item)


def _sentences(error: "ValidationError", document: Document) -> Iterator[str]:
    from jsonschema_rs import ValidationErrorKind as Kind

    path, kind = show_path(error.instance_path), error.kind
    if isinstance(kind, Kind.AdditionalProperties | Kind.UnevaluatedProperties):
        known = _known_properties(document, error.schema_path)
        for name in kind.unexpected[:MAX_ERRORS]:
            yield f"{path}: {_cut(name, _MAX_NAME)} is not a property here{_did_you_mean(name, known)}"
    elif isinstance(kind, Kind.PropertyNames):
        yield f"{path}: the name of a property does not fit the schema"
    elif isinstance(kind, Kind.AnyOf | Kind.OneOfNotValid):
        branches = [next(_sentences(branch[0], document)) for branch in kind.context[:MAX_ERRORS] if branch]
        yield _cut(f"{path}: fits none of the allowed forms ({'; '.join(branches)})", _MAX_MESSAGE)
    else:
        yield f"{path}: {_cut(error.message, _MAX_MESSAGE)}"


def _known_properties(document: Document, schema_path: list[str | int]) -> list[str]:
    parent = _at(document, schema_path[:-1])
    properties = parent.get("properties") if isinstance(parent, dict) else None
    return list(islice(properties, _MAX_KNOWN)) if isinstance(properties, dict) else []


def _did_you_mean(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1) if len(name) <= _MAX_NAME else []
    return f"; did you mean {close[0]}?" if close else ""


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 3] + "..."


def _parameters(function: Callable[..., object]) -> dict[str, tuple[object, object]]:
    """The annotation and the default of each parameter that a model may fill in."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        raise BadSchema("does not tell its parameters; give a JSON Schema", _name(function)) from None
    wanted = [parameter for parameter in parameters if not _is_context(parameter)]
    for parameter in wanted:
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise BadSchema("a model fills in named parameters only; name them, or give a JSON Schema", str(parameter))
    hints = _hints(function, {p.name: p.annotation for p in wanted if p.annotation is not p.empty})
    return {p.name: (hints.get(p.name, object), p.default) for p in wanted}


def _is_context(parameter: inspect.Parameter) -> bool:
    """Whether it is the `call` that the gateway fills in; known by name: the annotation may not exist at run time."""
    if parameter.name != "call":
        return False
    annotation = parameter.annotation
    written = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return parameter.kind is parameter.KEYWORD_ONLY or written.rpartition(".")[2] == "CallContext"


def _hints(function: Callable[..., object], annotations: dict[str, object]) -> dict[str, object]:
    inner = function.func if isinstance(function, partial) else inspect.unwrap(function)
    written_in = inner if hasattr(inner, "__globals__") else getattr(type(inner), "__call__", inner)  # noqa: B004  # a callable object, not a test for one
    namespace = dict(getattr(written_in, "__globals__", {}))
    try:
        return get_type_hints(SimpleNamespace(__annotations__=annotations), namespace, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise BadSchema(f"an annotation cannot be read at run time ({error})", _name(function)) from None


def _plain(annotation: object) -> Document | None:
    """The schema of an annotation that needs no pydantic; None if it does."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation is object or repr(annotation) == "typing.Any":
        return {}
    if annotation is None or (origin is None and isinstance(annotation, type)):
        return _plain_type(annotation)
    if origin is Literal:
        return _choices([part.value if isinstance(part, Enum) else part for part in parts])
    if origin is list:
        return _plain_container("array", "items", parts[0])
    if origin is dict and parts[0] is str:
        return _plain_container("object", "additionalProperties", parts[1])
    if origin is Union or origin is UnionType:
        return _plain_union([_plain(part) for part in parts])
    return None


def _plain_type(annotation: type | None) -> Document | None:
    if annotation is not None and issubclass(annotation, Enum):
        return _choices([member.value for member in annotation])
    word = _PLAIN_TYPES.get(annotation)
    return None if word is None else {"type": word}


def _choices(values: list[object]) -> Document | None:
    kinds = {type(value) for value in values}
    if not kinds or not kinds <= {str, int, bool, NoneType}:
        return None
    word: Document = {"type": _PLAIN_TYPES[kinds.pop()]} if len(kinds) == 1 else {}
    return {**word, "enum": [value for value in values if isinstance(value, str | int | None)]}


def _plain_container(word: str, inside: str, part: object) -> Document | None:
    item = _plain(part)
    if item is None:
        return None
    return {"type": word, inside: item} if item else {"type": word}


def _plain_union(parts: list[Document | None]) -> Document | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if {} in known:
        return {}
    if all(part.keys() == {"type"} for part in known):
        return {"type": [part["type"] for part in known]}
    return {"anyOf": [*known]}


def _by_pydantic(annotations: dict[str, object], *, returned: bool) -> tuple[dict[str, Document], Document]:
    """The schema of each annotation, and the `$defs` that they share."""
    from pydantic import PydanticUserError, TypeAdapter

    mode: Literal["serialization", "validation"] = "serialization" if returned else "validation"
    adapters = [(name, mode, _adapter(annotation)) for name, annotation in annotations.items()]
    try:
        schemas, shared = TypeAdapter.json_schemas(adapters, by_alias=not returned)
    except PydanticUserError as error:
        raise BadSchema(f"has no JSON Schema ({_first_sentence(error)})", ", ".join(annotations)) from None
    definitions: Document = {"$defs": shared["$defs"]} if "$defs" in shared else {}
    return {name: schema for (name, _), schema in schemas.items()}, definitions


def _adapter(annotation: object) -> "TypeAdapter[object]":
    from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(cast("type[object]", annotation))
    except (PydanticUserError, PydanticUndefinedAnnotation, TypeError) as error:
        raise BadSchema(f"has no JSON Schema ({_first_sentence(error)})", _name(annotation)) from None


def _first_sentence(error: Exception) -> str:
    return _cut(str(error).partition("\n")[0].partition(". ")[0], _MAX_MESSAGE)


def _name(thing: object) -> str:
    return str(getattr(thing, "__qualname__", thing))


@lru_cache(maxsize=1024)
def _converters(function: Callable[..., object]) -> dict[str, Callable[[Json], object]]:
    """How to build each parameter that plain JSON is not enough for; built once, when the tool is declared."""
    parameters = _parameters(function).items()
    return {name: _converter(name, annotation) for name, (annotation, _) in parameters if _is_built(annotation)}


def _is_built(annotation: object) -> bool:
    if _plain(annotation) is None or isinstance(annotation, Enum):
        return True
    is_enum = isinstance(annotation, type) and issubclass(annotation, Enum)
    return is_enum or any(_is_built(part) for part in get_args(annotation) if not isinstance(part, str | int | None))


def _converter(name: str, annotation: object) -> Callable[[Json], object]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return partial(_member, name, annotation)
    return partial(_built, name, _adapter(annotation))


def _member(name: str, choices: type[Enum], value: Json) -> Enum:
    try:
        return choices(value)
    except ValueError:
        raise BadArguments((f"{show_path((name,))}: {_MASK} is not one of the choices",)) from None


def _built(name: str, adapter: "TypeAdapter[object]", value: Json) -> object:
    from pydantic import ValidationError

    try:
        return adapter.validate_json(canonical(value))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
        places = [(show_path((name, *detail["loc"])), _cut(detail["msg"], _MAX_MESSAGE)) for detail in details]
        raise BadArguments(tuple(f"{place}: {message}" for place, message in places)) from None
