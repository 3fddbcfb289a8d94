"""haproxy in front of several instances, as docs/OPERATING.md has it: each request goes to the next one that is ready."""

from __future__ import annotations

import pathlib
import shutil
import signal
import subprocess

from bank import Bank, Broken, Service, free_port

# The answer's header that names the instance.
INSTANCE = "x-instance"
CONFIGURATION = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option redispatch 1
frontend bank
    bind 127.0.0.1:{port}
    option forwardfor
    default_backend coffer
backend coffer
    balance roundrobin
    http-response set-header X-Instance %s
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 100ms fall 1 rise 1
{servers}
"""


class Haproxy(Service):
    def __init__(self, directory: pathlib.Path) -> None:
        found = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin")
        assert found, "haproxy is not installed"
        self.program, self.directory = found, directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir()

    async def start(self, banks: list[Bank]) -> None:
        """In front of these, which are open. Called again for banks that have other ports by now."""
        self.stop()
        servers = "\n".join(f"    server {bank.directory.name} 127.0.0.1:{bank.port}" for bank in banks)
        configuration = self.directory / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(port=self.port, servers=servers))
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen([self.program, "-db", "-f", configuration], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        try:
            await self.opens()
        except OSError as error:
            raise Broken(f"haproxy does not start: {(self.directory / 'log').read_text()[-2_000:]}") from error

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
