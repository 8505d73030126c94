"""Opens COUNT connections at a time, of which PLACES are expected to be served. Sends the
requests only when all others have been refused, so that the outcome does not depend on
which side is faster. Prints the number of each outcome."""
import collections
import json
import select
import socket
import sys

path, count, places = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
DEADLINE = 60


def connect():
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(DEADLINE)
    connection.connect(path)
    return connection


def outcome(connection):
    with connection, connection.makefile("rb") as answer:
        return json.loads(answer.readline()).get("error", "success")


waiting = {connect() for _ in range(count)}
refused = set()
while len(refused) < count - places:
    answered, _, _ = select.select(waiting, [], [], DEADLINE)
    assert answered, f"{len(refused)} were refused"
    refused.update(answered)
    waiting.difference_update(answered)
seen = collections.Counter(outcome(connection) for connection in refused)
for connection in waiting:
    connection.sendall(b'{"method":"get_status"}\n')
    seen[outcome(connection)] += 1
print(json.dumps(seen))
