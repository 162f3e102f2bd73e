"""A DNS server on this machine whose answers a test changes, as a headless Service's change with its pods."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_ANSWER, _ADDRESS, _INTERNET, _TTL_SECONDS = 0x8180, 1, 1, 0


@dataclass
class NameServer:
    """Answers every question for an address (A) with the current ones."""

    port: int
    addresses: list[str]
    asked: set[str] = field(default_factory=set)
    """The names that were asked for."""

    def answer(self, query: bytes) -> bytes:
        """Return the answer to a query of one question (RFC 1035)."""
        labels, end = [], 12
        while length := query[end]:
            labels.append(query[end + 1 : end + 1 + length].decode())
            end += 1 + length
        question = query[12 : end + 5]
        (kind,) = struct.unpack("!H", query[end + 1 : end + 3])
        self.asked.add(".".join(labels))
        records = [self._record(each) for each in self.addresses] if kind == _ADDRESS else []
        return query[:2] + struct.pack("!HHHHH", _ANSWER, 1, len(records), 0, 0) + question + b"".join(records)

    def _record(self, address: str) -> bytes:
        name_of_question = 0xC00C
        head = struct.pack("!HHHIH", name_of_question, _ADDRESS, _INTERNET, _TTL_SECONDS, 4)
        return head + ipaddress.IPv4Address(address).packed


@contextmanager
def name_server(*addresses: str) -> Iterator[NameServer]:
    """Serve names on a free UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        server = NameServer(listener.getsockname()[1], list(addresses))
        stop = threading.Event()
        listener.settimeout(0.1)

        def serve() -> None:
            while not stop.is_set():
                try:
                    query, client = listener.recvfrom(4096)
                except TimeoutError:
                    continue
                listener.sendto(server.answer(query), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            stop.set()
            thread.join()
