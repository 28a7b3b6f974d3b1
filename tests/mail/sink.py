"""A mail server that keeps what it is given: one file a message.

    sink.py FOLDER PORT [--tls starttls|implicit --certificate FILE --key FILE] [--user NAME --password WORD]

It writes N.eml, and to N.to for whom that is. What it answers stands in FOLDER/answer, which is read for every message:

    250         it has the message (so it says without such a file, too)
    250 SECONDS the same, so many seconds after it has kept the message
    CODE        it does not keep it, and answers so, to RCPT TO
"""

import argparse
import asyncio
import os
import ssl
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult


class Sink:
    def __init__(self, folder):
        self.folder = folder
        self.count = len(list(folder.glob("*.eml")))

    def answer(self):
        try:
            words = (self.folder / "answer").read_text().split()
        except FileNotFoundError:
            words = ["250"]
        return words[0], float(words[1]) if len(words) > 1 else 0.0

    async def handle_RCPT(self, server, session, envelope, address, options):
        code, _ = self.answer()
        if code != "250":
            return f"{code} <{address}>: not now"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        _, pause = self.answer()
        self.count += 1
        self.write(f"{self.count:06}.to", "\n".join(envelope.rcpt_tos).encode())
        self.write(f"{self.count:06}.eml", envelope.original_content)
        await asyncio.sleep(pause)
        return "250 OK"

    def write(self, name, content):
        new = self.folder / f".{name}"
        new.write_bytes(content)
        os.replace(new, self.folder / name)


async def serve(arguments):
    sink = Sink(arguments.folder)
    context = None
    if arguments.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.certificate, arguments.key)

    def authenticate(server, session, envelope, mechanism, data):
        expected = (arguments.user.encode(), arguments.password.encode())
        return AuthResult(success=(data.login, data.password) == expected)

    loop = asyncio.get_running_loop()

    def protocol():
        return SMTP(
            sink,
            enable_SMTPUTF8=True,
            loop=loop,
            tls_context=context if arguments.tls == "starttls" else None,
            require_starttls=arguments.tls == "starttls",
            authenticator=authenticate if arguments.user else None,
            auth_required=bool(arguments.user),
            auth_require_tls=arguments.tls == "starttls",
        )

    implicit = context if arguments.tls == "implicit" else None
    server = await loop.create_server(protocol, "127.0.0.1", arguments.port, ssl=implicit)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--tls", choices=["starttls", "implicit"])
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--user")
    parser.add_argument("--password")
    asyncio.run(serve(parser.parse_args()))
