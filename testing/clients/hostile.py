"""Sends malformed, oversized and forbidden requests until standard input has a line; then
prints the number of requests. Further arguments are nodes to read."""
import itertools
import json
import select
import socket
import sys

path, *nodes = sys.argv[1:]


def reading(node):
    return json.dumps({"method": "get_temperature", "params": {"node": node}}).encode() + b"\n"


REQUESTS = [
    b"",
    b"{",
    b"\n",
    b"nonsense\n",
    b"\x00\xff\xfe\n",
    b"[" * 16000 + b"\n",
    b"x" * 200000,
    b'{"method":"get_status"}\n',
    b'{"method":"get_status","keep_alive":true}\n' * 50,
    b'{"method":"get_forwarding"}\n',
    b'{"method":"register_nodes"}\n',
    b'{"method":"get_temperatures"}\n',
    *(reading(node) for node in [*nodes, "unlisted", "$(id)", "-oProxyCommand=id", "../../etc"]),
]

# The last connections are kept open and never read.
KEPT = 100
kept = []
count = 0
print("ready", flush=True)
for request in itertools.cycle(REQUESTS):
    if select.select([sys.stdin], [], [], 0.002)[0]:
        break
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect(path)
        count += 1
        connection.send(request)
    except OSError:
        pass
    kept.append(connection)
    if len(kept) > KEPT:
        kept.pop(count * 7 % KEPT).close()
print(count, flush=True)
