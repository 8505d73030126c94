"""Connects COUNT times at once, of which PLACES are expected to be served. Sends the
requests only when all others were turned away, so that the outcome does not depend on
who of the two is faster. Prints how often each outcome was seen."""
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
turned_away = set()
while len(turned_away) < count - places:
    answered, _, _ = select.select(waiting, [], [], DEADLINE)
    assert answered, f"{len(turned_away)} were turned away"
    turned_away.update(answered)
    waiting.difference_update(answered)
seen = collections.Counter(outcome(connection) for connection in turned_away)
for connection in waiting:
    connection.sendall(b'{"method":"get_status"}\n')
    seen[outcome(connection)] += 1
print(json.dumps(seen))
