"""Sends one request without a newline, shuts down its sending side, and reads to
the end. Prints what it read."""
import socket
import sys

path, request = sys.argv[1:]
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
    connection.settimeout(60)
    connection.connect(path)
    connection.sendall(request.encode())
    connection.shutdown(socket.SHUT_WR)
    with connection.makefile("r", encoding="utf-8") as answer:
        sys.stdout.write(answer.read())
