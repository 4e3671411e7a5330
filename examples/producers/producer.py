#!/usr/bin/env python3
"""Puts one mail as a JSON job on a beanstalkd, for the handler `mailer`. Needs Python 3.8 or later and no package.

    python3 producer.py HOST:PORT TUBE

Prints the job's id. Exit code 1: not put, and why. 64: wrong command line.
"""

import json
import re
import socket
import sys

MAIL = {
    "to": "ann@example.org",
    "subject": "Hello from Python",
    "text": "This was put by producer.py.",
}

# How many seconds the server may take to accept the connection, and for each answer.
PATIENCE = 5

# What beanstalkd takes as a tube's name; anything else would be read as further commands.
TUBE = re.compile(r"[A-Za-z0-9+/;.$_()][A-Za-z0-9+/;.$_()-]{0,199}")


class NotPut(Exception):
    """The job is not in the queue, as far as we know."""


def put(host, port, tube, body, priority=1024, delay=0, ttr=60):
    """Puts a job and answers with its id. A worker has `ttr` seconds for it."""
    if not TUBE.fullmatch(tube):
        raise NotPut(f"beanstalkd takes no tube called `{tube}`")
    try:
        with socket.create_connection((host, port), timeout=PATIENCE) as queue, queue.makefile("rb") as answers:
            used = ask(queue, answers, b"use %b\r\n" % tube.encode())
            if used != f"USING {tube}":
                raise NotPut(f"the server answered `{used}` to `use`")
            command = b"put %d %d %d %d\r\n%b\r\n" % (priority, delay, ttr, len(body), body)
            answer = ask(queue, answers, command)
    except (OSError, OverflowError, UnicodeError) as error:
        raise NotPut(f"cannot speak to `{host}:{port}`: {error}") from error
    inserted = re.fullmatch(r"INSERTED ([0-9]+)", answer)
    if inserted is None:
        raise NotPut(f"the job was not put: the server answered `{answer}`")
    return int(inserted[1])


def ask(queue, answers, command):
    """Sends a command and answers with the server's line."""
    queue.sendall(command)
    line = answers.readline(1024)
    if not line.endswith(b"\r\n"):
        raise NotPut("the server has closed the connection")
    return line[:-2].decode("ascii", "replace")


def main(arguments):
    address = re.fullmatch(r"\[?(.+?)\]?:([0-9]{1,5})", arguments[0]) if len(arguments) == 2 else None
    if address is None:
        print("usage: python3 producer.py HOST:PORT TUBE", file=sys.stderr)
        return 64
    try:
        body = json.dumps(MAIL).encode()
        print(put(address[1], int(address[2]), arguments[1], body))
        return 0
    except NotPut as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
