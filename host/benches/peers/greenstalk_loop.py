"""Takes jobs by greenstalk, for ever: arguments are host, port and tube."""

import json
import sys

import greenstalk

host, port, tube = sys.argv[1:]
with greenstalk.Client((host, int(port)), watch=tube) as client:
    while True:
        job = client.reserve()
        json.loads(job.body)
        client.delete(job)
