"""Enters a control group, becomes a user, sends each request on a new connection and prints
the responses, one a line."""
import os
import socket
import sys

entry, user, path, *requests = sys.argv[1:]
with open(entry, "w") as group:
    group.write(str(os.getpid()))
os.setgid(int(user))
os.setuid(int(user))
for request in requests:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        connection.settimeout(60)
        connection.sendall(request.encode() + b"\n")
        print(connection.makefile().readline(), end="")
