"""Does what Pulse's client does: connects, sends one line, reads one JSON value without
waiting for the end of the stream, closes. Prints the value."""
import json
import socket
import sys

path, request = sys.argv[1:]
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
    connection.settimeout(60)
    connection.connect(path)
    connection.sendall(request.encode() + b"\n")
    received = b""
    while True:
        chunk = connection.recv(4096)
        if not chunk:
            sys.exit(f"closed after {received!r}")
        received += chunk
        try:
            value, _ = json.JSONDecoder().raw_decode(received.decode())
            break
        except ValueError:
            continue
print(json.dumps(value))
