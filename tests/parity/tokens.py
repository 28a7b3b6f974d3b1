#!/usr/bin/env python3
"""Writes down the tokens in the mails of a folder, for parity.py --token-file.

    python tokens.py FOLDER TOKENS.jsonl

FOLDER is where identity-service writes its mails with MAIL=dir:FOLDER, one .eml each. For every one with a link to reset a
password or to verify an address a line is added: {"kind": "reset"|"verify", "email": "...", "token": "..."}. Runs until it
is ended.
"""

import email
import email.policy
import json
import pathlib
import re
import sys
import time

LINK = re.compile(r"https?://\S+/(reset-password|verify)\?token=([\w-]+)")
KINDS = {"reset-password": "reset", "verify": "verify"}


def record(mail: bytes) -> dict | None:
    """What a mail says of its token; None if it brings none."""
    message = email.message_from_bytes(mail, policy=email.policy.default)
    link = LINK.search(message.get_body(("plain",)).get_content())
    if link is None:
        return None
    return {"kind": KINDS[link[1]], "email": message["to"].addresses[0].addr_spec, "token": link[2]}


def main(folder: pathlib.Path, tokens: pathlib.Path) -> None:
    seen = set()
    while True:
        # A name that begins with a dot is of a file that is being written.
        new = {path for path in folder.glob("*.eml") if not path.name.startswith(".")} - seen
        lines = [record(path.read_bytes()) for path in sorted(new)]
        with tokens.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines if line))
        seen |= new
        time.sleep(0.05)


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:3]))
