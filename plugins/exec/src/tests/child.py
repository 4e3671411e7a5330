"""A child for the tests: does what its argument and the payloads of its jobs say, rules or no rules."""

import json
import os
import signal
import struct
import subprocess
import sys
import time

incoming = os.fdopen(int(os.environ["ASYNCCALL_READ_FD"]), "rb")
outgoing = os.fdopen(int(os.environ["ASYNCCALL_WRITE_FD"]), "wb")


def read():
    head = incoming.read(4)
    return json.loads(incoming.read(struct.unpack(">I", head)[0])) if head else None


def write_bytes(data):
    outgoing.write(data)
    outgoing.flush()


def frame(message):
    document = json.dumps(message).encode()
    return struct.pack(">I", len(document)) + document


def write(message):
    write_bytes(frame(message))


def linger(note=None):
    if note:
        open(note, "w").close()
    while True:
        time.sleep(1)


def hello(how):
    greeting = read()
    if how == "silent":
        linger()
    elif how == "old":
        write({"type": "hello", "version": 0})
    elif how == "prints":
        write_bytes(b"Hello, I am printing!\n")
        linger()
    elif how == "dies":
        print("the database is down", file=sys.stderr)
        sys.exit(3)
    elif how == "everything":
        write({"type": "hello", "version": 1,
               "wants": ["body", "payload", "tube", "attempt", "age", "priority", "cancel"]})
    elif how == "body":
        write({"type": "hello", "version": 1, "wants": ["body"]})
    else:
        write({"type": "hello", "version": 1})
    return greeting


def work(job, greeting):
    payload = job.get("payload")
    wish = payload.get("do") if isinstance(payload, dict) else None
    done = {"type": "result", "id": job["id"], "status": "done", "result": {"pid": os.getpid(), "job": job}}
    if wish == "greeting":
        write({**done, "result": greeting})
    elif wish == "answer":
        write({"type": "result", "id": job["id"], **payload["with"]})
    elif wish == "raw":
        write_bytes(payload["bytes"].encode("latin-1"))
        linger()
    elif wish == "long":
        write({**done, "result": "x" * payload["bytes"]})
    elif wish == "pieces":
        for byte in frame(done):
            write_bytes(bytes([byte]))
    elif wish == "noise":
        for number in range(payload["lines"]):
            print(f"noise {number}")
            print(f"louder noise {number}", file=sys.stderr)
        sys.stdout.flush()
        write(done)
    elif wish == "exit":
        print("last words", file=sys.stderr)
        sys.exit(payload["code"])
    elif wish == "signal":
        os.kill(os.getpid(), getattr(signal, payload["name"]))
    elif wish == "leave":
        write({**done, "last": True})
        sys.exit(0)
    elif wish == "die after":
        write(done)
        sys.exit(0)
    elif wish == "hang":
        print("hanging", flush=True)
        linger(payload.get("note"))
    elif wish == "meet":
        # Ends when as many children as there are to be have come.
        open(os.path.join(payload["at"], str(os.getpid())), "w").close()
        while len(os.listdir(payload["at"])) < payload["count"]:
            time.sleep(0.005)
        write(done)
    elif wish == "hang deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("hanging", flush=True)
        linger()
    elif wish == "hang with grandchild":
        grandchild = subprocess.Popen(["sleep", "1000"], pass_fds=(3, 4))
        print(f"grandchild {grandchild.pid}", flush=True)
        linger()
    elif wish == "exit with grandchild":
        subprocess.Popen(["sleep", "1000"], pass_fds=(3, 4))
        os._exit(1)
    elif wish == "close":
        incoming.close()
        outgoing.close()
        linger()
    elif wish == "answer at TERM":
        def finish(*_):
            write(done)
            sys.exit(0)
        signal.signal(signal.SIGTERM, finish)
        print("hanging", flush=True)
        linger()
    elif wish == "wait for cancel":
        open(payload["note"], "w").close()
        cancel = read()
        write({"type": "result", "id": job["id"], "status": "retry", "delay": 5, "error": json.dumps(cancel)})
    else:
        write(done)


greeted = hello(sys.argv[1] if len(sys.argv) > 1 else "")
while (received := read()) is not None:
    work(received, greeted)
if len(sys.argv) > 2:
    # Shows that the child was let go, and not killed.
    open(sys.argv[2], "w").close()
