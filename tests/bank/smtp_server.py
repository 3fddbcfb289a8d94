"""A mail server for the tests: aiosmtpd, on a port of the loopback address.

Takes what it should be as JSON in its argument, prints its port, then each mail that it gets as a line of JSON. Ends with
its standard input. Who is written to decides what it answers: `busy…` has no room at first, `gone…` is nobody.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self):
        self.seen = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone"):
            return f"550 5.1.1 <{address}>: no such mailbox"
        if address.startswith("busy") and address not in self.seen:
            self.seen.add(address)
            return "451 4.3.2 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": mail["Subject"],
            "text": mail.get_content().replace("\r\n", "\n"),
            "headers": dict(mail.items()),
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "login": session.auth_data.login.decode() if session.auth_data else None,
        }
        print(json.dumps(told), flush=True)
        return "250 OK"


async def main(options):
    context = None
    if "cert" in options:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options["cert"], options["key"])
    starttls = options.get("tls") == "starttls"
    login = options.get("login")

    def authenticate(server, session, envelope, mechanism, data):
        return AuthResult(success=login == [data.login.decode(), data.password.decode()], auth_data=data)

    handler = Handler()

    def connected():
        return SMTP(
            handler,
            hostname="localhost",
            tls_context=context if starttls else None,
            require_starttls=starttls,
            authenticator=authenticate,
            auth_required=login is not None,
            auth_require_tls=starttls,
            enable_SMTPUTF8=True,
        )

    loop = asyncio.get_running_loop()
    implicit = context if options.get("tls") == "tls" else None
    server = await loop.create_server(connected, "127.0.0.1", options.get("port", 0), ssl=implicit)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main(json.loads(sys.argv[1])))
