"""A socket of libzmq that does what the lines of its standard input say.

Usage: peer.py TYPE bind|connect [PORT]

Parts of messages are hexadecimal, an empty one is "-".
"""
import sys

import zmq

kind, how, *port = sys.argv[1:]
context = zmq.Context()
socket = context.socket(getattr(zmq, kind))
socket.set(zmq.HEARTBEAT_IVL, 40)
socket.set(zmq.HEARTBEAT_TIMEOUT, 10_000)
socket.set(zmq.HEARTBEAT_TTL, 20_000)
socket.set(zmq.LINGER, 0)
socket.set(zmq.RCVTIMEO, 30_000)
if how == "bind":
    print(socket.bind_to_random_port("tcp://127.0.0.1"), flush=True)
else:
    socket.connect(f"tcp://127.0.0.1:{port[0]}")

for line in sys.stdin:
    word, *parts = line.split()
    parts = [b"" if part == "-" else bytes.fromhex(part) for part in parts]
    if word == "send":
        socket.send_multipart(parts)
    elif word == "receive":
        print(*(part.hex() or "-" for part in socket.recv_multipart()), flush=True)
    elif word == "subscribe":
        socket.subscribe(parts[0])
    elif word == "unsubscribe":
        socket.unsubscribe(parts[0])
    # A socket learns of new peers only when it is asked something; "look" is for that alone.
    socket.get(zmq.EVENTS)
