"""Just enough HTTP/1.1 to know for each request what became of it: not sent, not answered, or answered whole."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass
from typing import Any


class NoAnswer(Exception):
    """The request was sent, in whole or in part, and no whole answer came."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"no whole answer, only {received!r}" if received else "no answer")
        self.received = received


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    def problem(self) -> str:
        """The code of a problem; empty where the body is none."""
        try:
            return str(json.loads(self.body).get("code", ""))
        except (ValueError, AttributeError):
            return ""


def request(method: str, path: str, body: Any = None, token: str = "", key: str | None = None, **headers: str) -> bytes:
    """A request as it is sent; in the names of more headers `_` stands for `-`."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: bank", f"Content-Length: {len(content)}"]
    if body is not None:
        lines.append("Content-Type: application/json")
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if key is not None:
        lines.append(f"Idempotency-Key: {key}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


class Connection:
    """A connection that is used again and again, for one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        """Raises OSError where nobody listens."""
        return cls(*await asyncio.open_connection(host, port))

    async def ask(self, sent: bytes, seconds: float = 40) -> Answer:
        """Sends it. Raises NoAnswer, after which the connection is of no use."""
        received = bytearray()
        try:
            return await asyncio.wait_for(self.exchange(sent, received), seconds)
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            self.abort()
            raise NoAnswer(bytes(received)) from error

    async def exchange(self, sent: bytes, received: bytearray) -> Answer:
        self.writer.write(sent)
        await self.writer.drain()
        return await self.read(received)

    async def read(self, received: bytearray) -> Answer:
        """The next answer. What has come of it is in `received`, however that ends."""
        while b"\r\n\r\n" not in received:
            received += await self.some()
        head, _, rest = bytes(received).partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(rest) < length:
            more = await self.some()
            received += more
            rest += more
        if headers.get("connection", "") == "close":
            self.abort()
        return Answer(int(first.split()[1]), headers, rest)

    async def some(self) -> bytes:
        more = await self.reader.read(65_536)
        if not more:
            raise EOFError
        return more

    @property
    def is_usable(self) -> bool:
        return not self.writer.is_closing() and not self.reader.at_eof()

    def reset(self) -> None:
        """Has the system send a reset, as for a client that has crashed."""
        now = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.abort()

    def abort(self) -> None:
        self.writer.transport.abort()
