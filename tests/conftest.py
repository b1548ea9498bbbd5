"""What holds for every test: how hard Hypothesis tries, and that no test leaves this machine.

`HYPOTHESIS_MAX=2000 make test` tries harder; `CI=true` tries less. A failing example prints the blob that repeats it.
"""

import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import NoReturn

import pytest
from hypothesis import settings

EXAMPLES = int(os.environ.get("HYPOTHESIS_MAX", "100"))
settings.register_profile("bridle", max_examples=EXAMPLES, derandomize=False, print_blob=True, deadline=None)
settings.register_profile("bridle-ci", settings.get_profile("bridle"), max_examples=min(EXAMPLES, 50))
settings.load_profile("bridle-ci" if os.environ.get("CI") else "bridle")

_real_connect = socket.socket.connect
_real_connect_ex = socket.socket.connect_ex
_real_getaddrinfo = socket.getaddrinfo


class NetworkForbidden(BaseException):
    """A test tried to leave this machine; no `except Exception` may swallow that."""


def is_this_machine(host: object) -> bool:
    """Whether connecting to `host` stays on the loopback interface."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if name in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_literal(host: object) -> bool:
    """Whether `host` is an address already, so that asking for its address sends nothing."""
    try:
        ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return True


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse every connection and name lookup beyond loopback, and fail the test even if it caught the refusal."""
    attempts: list[str] = []

    def refuse(what: str) -> NoReturn:
        attempts.append(what)
        raise NetworkForbidden(f"tests may not leave this machine: {what}; serve it on 127.0.0.1 or use a double")

    def check(sock: socket.socket, address: object) -> None:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0] if isinstance(address, tuple) else address
            if not is_this_machine(host):
                refuse(f"connect to {address}")

    def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        check(sock, address)
        _real_connect(sock, address)

    def connect_ex(sock: socket.socket, address: tuple[str, int]) -> int:
        check(sock, address)
        return _real_connect_ex(sock, address)

    def getaddrinfo(host: str | bytes | None, *rest: int, **named: int) -> object:
        if host is not None and not is_this_machine(host) and not is_literal(host):
            refuse(f"look up {host!r}")
        return _real_getaddrinfo(host, *rest, **named)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    assert not attempts, f"this test tried to leave this machine: {attempts}"
