"""A mail server on loopback, which keeps each mail as a file.

What it does is said by a file that it looks at again and again, so that it can be changed while it runs:

    accept          it takes every mail (also when the file is not there)
    refuse          nobody listens at the port
    recipient CODE  it answers so to each RCPT TO
    data CODE       it answers so to each mail, once it has it
    delay SECONDS   it takes every mail, and says so later
"""

import argparse
import asyncio
import itertools
import os
import ssl
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where the mails are kept")
    parser.add_argument("--control", type=Path, required=True, help="the file that says what it does")
    parser.add_argument("--tls", choices=["none", "start", "implicit"], default="none")
    parser.add_argument("--certificate", type=Path, help="a PEM file with the certificate and its key")
    parser.add_argument("--login", metavar="USER:PASSWORD", help="who may send; everybody without it")
    parser.add_argument("--ascii", action="store_true", help="it takes no SMTPUTF8")
    return parser.parse_args()


class Sink:
    def __init__(self, arguments):
        self.arguments = arguments
        self.numbers = itertools.count(1)

    def does(self):
        """What it does now, and the number with it."""
        try:
            words = self.arguments.control.read_text().split()
        except FileNotFoundError:
            words = []
        return (words + ["accept"])[0], (words[1] if len(words) > 1 else "")

    async def handle_RCPT(self, server, session, envelope, address, options):
        does, code = self.does()
        if does == "recipient":
            # As mail servers do: the address is in what they say.
            return f"{code} <{address}> is not wanted"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        does, number = self.does()
        if does == "data":
            return f"{number} not a mail for {envelope.rcpt_tos[0]}"
        self.keep(envelope)
        if does == "delay":
            await asyncio.sleep(float(number))
        return "250 OK"

    def keep(self, envelope):
        name = f"{os.getpid()}-{next(self.numbers):06}"
        recipients = "".join(f"X-Rcpt-To: {address}\r\n" for address in envelope.rcpt_tos)
        unfinished = self.arguments.folder / f".{name}"
        unfinished.write_bytes(recipients.encode() + envelope.original_content)
        unfinished.rename(self.arguments.folder / f"{name}.eml")

    def authenticate(self, server, session, envelope, mechanism, given):
        user, _, password = self.arguments.login.partition(":")
        is_he = isinstance(given, LoginPassword) and given == LoginPassword(user.encode(), password.encode())
        return AuthResult(success=is_he, handled=False)


def context(arguments):
    if arguments.tls == "none":
        return None
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(arguments.certificate)
    return tls


async def serve(arguments):
    sink, tls, loop = Sink(arguments), context(arguments), asyncio.get_running_loop()

    def connection():
        return SMTP(
            sink,
            hostname="sink.test",
            enable_SMTPUTF8=not arguments.ascii,
            tls_context=tls if arguments.tls == "start" else None,
            require_starttls=arguments.tls == "start",
            authenticator=sink.authenticate if arguments.login else None,
            auth_required=arguments.login is not None,
            # So no AUTH is offered in plain where nobody need log in.
            auth_require_tls=arguments.login is None,
            loop=loop,
        )

    server = None
    while True:
        listens = sink.does()[0] != "refuse"
        if listens and server is None:
            implicit = tls if arguments.tls == "implicit" else None
            server = await loop.create_server(connection, "127.0.0.1", arguments.port, ssl=implicit)
        elif not listens and server is not None:
            server.close()
            server = None
        print("listens" if listens else "refuses", flush=True)
        while listens == (sink.does()[0] != "refuse"):
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    try:
        asyncio.run(serve(parse_arguments()))
    except KeyboardInterrupt:
        sys.exit(130)
