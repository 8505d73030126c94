"""Runs as root in a container. The first argument is the container's name, by which the
harness finds the process; the second is the task as JSON. Sends each request over each
socket, on a new connection, and prints as JSON the responses and the paths that exist."""
import json
import os
import socket
import sys

task = json.loads(sys.argv[2])


def answer(path, request):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(60)
        connection.connect(path)
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as stream:
            return json.loads(stream.readline())


answers = [[answer(path, request) for request in task["requests"]] for path in task["sockets"]]
print(json.dumps({
    "uid": os.getuid(),
    "answers": answers,
    "there": [path for path in task["paths"] if os.path.lexists(path)],
}))
