"""Connects and prints `connected` or the error."""
import os
import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
    try:
        connection.connect(sys.argv[1])
        print("connected")
    except OSError as error:
        print(os.strerror(error.errno))
