"""Reads nodes every second for SECONDS, all at once, as a monitoring program does. Where the
socket's backlog has no place, it tries again. Told to go on, prints how long each reading
took that succeeded, what was said instead, and how often there was no place."""
import collections
import concurrent.futures
import json
import socket
import sys
import time

path, seconds, *nodes = sys.argv[1:]


def connect(connection):
    global no_place
    end = time.monotonic() + 20
    while True:
        try:
            return connection.connect(path)
        except BlockingIOError:
            no_place += 1
            if time.monotonic() > end:
                raise
            time.sleep(0.005)


def read(node):
    request = {"method": "get_temperature", "params": {"node": node}}
    started = time.monotonic()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(20)
            connect(connection)
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(connection.makefile("rb").readline() or b"{}")
    except OSError as error:
        return type(error).__name__
    if answer.get("success"):
        return time.monotonic() - started
    return answer.get("error", "no answer")


print("ready", flush=True)
times, failures, no_place = [], collections.Counter(), 0
end = time.monotonic() + float(seconds)
with concurrent.futures.ThreadPoolExecutor(len(nodes)) as pool:
    due = time.monotonic()
    while due < end:
        for outcome in pool.map(read, nodes):
            if isinstance(outcome, float):
                times.append(outcome)
            else:
                failures[outcome] += 1
        due += 1
        time.sleep(max(0, due - time.monotonic()))
sys.stdin.readline()
print(json.dumps({"times": times, "failures": failures, "no_place": no_place}), flush=True)
