#!/usr/bin/python3
"""Turns each file in the folder `in` to upper case, into the folder `out`, and reports what it did."""

import os
import socket
import time

stats = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def report(lines):
    """Tells the group of daemons. Without one, as when it does not run, nobody listens."""
    try:
        stats.sendto(lines.encode(), os.environ["BRIM_STATS"])
    except (KeyError, OSError):
        pass


def work(name):
    with open(os.path.join("in", name)) as file:
        text = file.read()
    done = os.path.join("out", name)
    with open(done + ".part", "w") as file:
        file.write(text.upper())
    os.rename(done + ".part", done)
    os.remove(os.path.join("in", name))
    return len(text)


for folder in "in", "out":
    os.makedirs(folder, exist_ok=True)
print("waiting for files", flush=True)
while True:
    for name in sorted(os.listdir("in")):
        started = time.monotonic()
        size = work(name)
        took = int((time.monotonic() - started) * 1000)
        print("done:", name, flush=True)
        report(f"files+=1\nbytes+={size}\nlongest_ms={took}\n")
    time.sleep(0.1)
