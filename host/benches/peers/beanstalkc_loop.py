"""Takes jobs by beanstalkc (its fork for Python 3), for ever: arguments are host, port and tube."""

import json
import sys

import beanstalkc

host, port, tube = sys.argv[1:]
connection = beanstalkc.Connection(host, int(port), parse_yaml=False)
connection.watch(tube)
connection.ignore("default")
while True:
    job = connection.reserve()
    json.loads(job.body)
    job.delete()
