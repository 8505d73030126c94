"""Connects COUNT times and sends nothing. Prints `ready`; when standard input has a line,
reads every connection to its end and prints the number of each error."""
import collections
import json
import socket
import sys

path, count = sys.argv[1:]
connections = []
for _ in range(int(count)):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(60)
    connection.connect(path)
    connections.append(connection)
print("ready", flush=True)
sys.stdin.readline()
seen = collections.Counter()
for connection in connections:
    try:
        with connection.makefile("rb") as answer:
            seen[json.loads(answer.read()).get("error")] += 1
    except OSError as error:
        seen[type(error).__name__] += 1
print(json.dumps(seen), flush=True)
