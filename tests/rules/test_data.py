"""Data is frozen, compared by value, and taken by the functions of the standard library."""

from dataclasses import asdict, field, fields, replace

import pytest

from bridle.rules.data import data


@data
class Point:
    """One of many."""

    x: int
    names: dict[str, int] = field(default_factory=dict)
    y: int = 7

    @property
    def sum(self) -> int:
        """Both together."""
        return self.x + self.y


def test_a_field_cannot_be_set_deleted_or_added() -> None:
    point = Point(1)
    for name in ("x", "z"):
        with pytest.raises(AttributeError):
            setattr(point, name, 2)
    with pytest.raises(AttributeError):
        del point.x
    assert point == Point(1)


def test_it_is_a_dataclass_to_the_standard_library() -> None:
    point = Point(1, y=2)
    assert [one.name for one in fields(point)] == ["x", "names", "y"]
    assert (replace(point, x=5), point.sum) == (Point(5, {}, 2), 3)
    assert asdict(point) == {"x": 1, "names": {}, "y": 2}
    assert repr(point) == "Point(x=1, names={}, y=2)"
    match point:
        case Point(x=x, y=2):
            assert x == 1
        case _:
            pytest.fail("it does not match")


def test_defaults_that_can_change_are_not_shared() -> None:
    one, other = Point(1), Point(1)
    one.names["a"] = 1
    assert other.names == {}


def test_what_is_missing_or_unknown_is_an_error() -> None:
    with pytest.raises(TypeError, match="x"):
        Point()  # type: ignore[call-arg]  # as who mistypes does
    with pytest.raises(TypeError, match="z"):
        Point(1, z=2)  # type: ignore[call-arg]  # as who mistypes does
