"""A program that gets webhooks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

from bank import Bank, Broken

ADMIN = "hooks@example.com"
ARRIVES_WITHIN_SECONDS = 30


class Receiver:
    """Takes every message, on a port of the loopback address, and notes the account that it is about."""

    def __init__(self) -> None:
        self.accounts: list[str] = []
        self.server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)

    def stop(self) -> None:
        if self.server:
            self.server.close()

    async def subscribe(self, bank: Bank, kind: str) -> None:
        """Has the bank send events of this kind."""
        assert self.server is not None
        port = self.server.sockets[0].getsockname()[1]
        token = await bank.create_admin(ADMIN)
        await bank.expect("POST", "/webhooks", {"url": f"http://127.0.0.1:{port}/", "types": [kind]}, token)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.split("content-length:")[1].split("\r\n")[0])
                event = json.loads(await reader.readexactly(length))
                self.accounts.append(event["data"]["account_number"])
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        writer.close()

    async def hears_of(self, accounts: list[str]) -> None:
        """Each of them once, and nothing else."""
        deadline = time.monotonic() + ARRIVES_WITHIN_SECONDS
        while len(self.accounts) < len(accounts) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        if sorted(self.accounts) != sorted(accounts):
            raise Broken(f"a webhook has heard of {sorted(self.accounts)}, not of {sorted(accounts)}")
