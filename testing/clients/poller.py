"""Reads all nodes in parallel, once a second for SECONDS, as a monitoring program does. When
the socket's backlog is full, it retries. When standard input has a line, prints the durations
of successful readings, the number of each failure, and the number of retries."""
import collections
import concurrent.futures
import json
import socket
import sys
import time

path, seconds, *nodes = sys.argv[1:]


def connect(connection):
    global retries
    end = time.monotonic() + 20
    while True:
        try:
            return connection.connect(path)
        except BlockingIOError:
            retries += 1
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
times, failures, retries = [], collections.Counter(), 0
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
print(json.dumps({"times": times, "failures": failures, "retries": retries}), flush=True)
