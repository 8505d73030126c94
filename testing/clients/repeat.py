"""Connects COUNT times, TOGETHER at a time, and prints the number of each outcome: the
error text, `success`, or the exception of the connection.

Each connection sends a request of SIZE bytes: WHEN is `first` (before anything
was received) or `late` (after the answer is there)."""
import collections
import json
import select
import socket
import sys

path, count, together, size, when = sys.argv[1:]
request = b'{"method":"get_status"}'.ljust(int(size) - 1) + b"\n"


def connect():
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(60)
    connection.connect(path)
    return connection


def outcome(connection):
    if when == "late":
        select.select([connection], [], [], 60)
    connection.sendall(request)
    with connection.makefile("rb") as answer:
        line = answer.readline()
        rest = answer.read()
    if not line.endswith(b"\n") or rest:
        return f"not a line: {line + rest!r}"
    return json.loads(line).get("error", "success")


seen = collections.Counter()
for _ in range(int(count) // int(together)):
    for connection in [connect() for _ in range(int(together))]:
        try:
            seen[outcome(connection)] += 1
        except OSError as error:
            seen[type(error).__name__] += 1
        finally:
            connection.close()
print(json.dumps(seen))
