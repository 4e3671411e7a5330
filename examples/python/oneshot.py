#!/usr/bin/env python3
"""Runs one job: the body is on standard input, the exit code is the verdict. Needs Python 3.8 or later.

    [handler.exec]
    command = ["python3", "/srv/oneshot.py"]
    mode = "oneshot"
"""

import json
import os
import sys

# As sysexits.h names them, and as the handler reads them by default.
DATA_ERROR = 65  # buried
TEMPORARY_FAILURE = 75  # released, and tried again


def main():
    try:
        payload = json.load(sys.stdin)
    except ValueError as error:
        print(f"the body is no JSON: {error}", file=sys.stderr)
        return DATA_ERROR
    if isinstance(payload, dict) and payload.get("busy"):
        print("the receiver is busy", file=sys.stderr)
        return TEMPORARY_FAILURE
    # Standard output is the result, standard error goes to the log.
    json.dump({"job": int(os.environ["JOB_ID"]), "payload": payload}, sys.stdout)
    return 0


sys.exit(main())
