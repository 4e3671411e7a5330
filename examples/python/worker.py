#!/usr/bin/env python3
"""Runs jobs as a persistent child of the handler `exec`. Needs Python 3.8 or later and nothing else.

    [handler.exec]
    command = ["python3", "/srv/worker.py"]
    mode = "persistent"

Replace `execute` by what your jobs need. The protocol is described in plugins/exec/README.md.
"""

import json
import os
import struct
import sys
import traceback

VERSION = 1


class Retry(Exception):
    """The job shall be tried again after `delay` seconds."""

    def __init__(self, delay, text=""):
        super().__init__(text)
        self.delay = delay


class Bury(Exception):
    """A person shall look at the job."""


def execute(job):
    """Runs one job; what it returns is the result. `job` has `id`, `tube`, `attempt` and `payload`."""
    payload = job["payload"]
    if not isinstance(payload, dict) or "to" not in payload:
        raise Bury("the payload has no `to`")
    if payload.get("busy"):
        raise Retry(30, "the receiver is busy")
    print(f"a mail to {payload['to']}, attempt {job['attempt']}")  # goes to the host's log
    return {"sent_to": payload["to"]}


def read(stream):
    """The next message; None when the host has closed the link, which is the sign to leave."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    (length,) = struct.unpack(">I", head)
    document = stream.read(length)
    return json.loads(document) if len(document) == length else None


def write(stream, message):
    document = json.dumps(message).encode()
    stream.write(struct.pack(">I", len(document)) + document)
    stream.flush()


def answer(job):
    try:
        return {"status": "done", "result": execute(job)}
    except Retry as wish:
        return {"status": "retry", "delay": wish.delay, "error": str(wish)}
    except Bury as wish:
        return {"status": "bury", "error": str(wish)}
    except Exception as error:
        traceback.print_exc()
        return {"status": "exception", "error": f"{type(error).__name__}: {error}"}


def main():
    # Line by line: a pipe would be buffered, and the log would lag behind.
    sys.stdout.reconfigure(line_buffering=True)
    incoming = os.fdopen(int(os.environ["ASYNCCALL_READ_FD"]), "rb")
    outgoing = os.fdopen(int(os.environ["ASYNCCALL_WRITE_FD"]), "wb")
    if read(incoming) is None:
        return
    # The host compares the versions; `wants` is left at its default: payload, tube and attempt.
    write(outgoing, {"type": "hello", "version": VERSION})
    while (job := read(incoming)) is not None:
        write(outgoing, {"type": "result", "id": job["id"], **answer(job)})


main()
