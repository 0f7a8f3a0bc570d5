"""A chat over WebSocket, the same as chat.rs: python3 chat.py [SEND_SPEC RECV_SPEC]

The page asks for /chat/ and opens a WebSocket there. Messages are JSON: {"type": "join", "user": ...},
"list", "message" and "leave".
"""
import json
import os
import struct
import sys

import zmq

SEND_SPEC, RECV_SPEC = sys.argv[1:3] or ["tcp://127.0.0.1:9997", "tcp://127.0.0.1:9996"]
PAGE = open(os.path.join(os.path.dirname(__file__), "page.html"), "rb").read()

context = zmq.Context()
requests = context.socket(zmq.PULL)
requests.connect(SEND_SPEC)
replies = context.socket(zmq.PUB)
replies.connect(RECV_SPEC)
users = {}  # (server, id) -> name


def netstring(data):
    length, rest = data.split(b":", 1)
    return rest[: int(length)], rest[int(length) + 1 :]


def send(clients, payload):
    """To at most 128 clients of a server by one message."""
    for server in {server for server, _ in clients}:
        ids = [number for other, number in clients if other == server]
        for start in range(0, len(ids), 128):
            some = b" ".join(ids[start : start + 128])
            replies.send(b"%s %d:%s, %s" % (server, len(some), some, payload))


def frame(flags, payload):
    length = len(payload)
    if length < 126:
        return bytes([flags, length]) + payload
    if length < 65536:
        return struct.pack("!BBH", flags, 126, length) + payload
    return struct.pack("!BBQ", flags, 127, length) + payload


def say(clients, **message):
    send(clients, frame(0x81, json.dumps(message).encode()))


def leave(client):
    user = users.pop(client, None)
    if user is not None:
        say(users, type="leave", user=user)


def message(client, text):
    try:
        data = json.loads(text)
        kind, value = data["type"], str(data.get("user") or data.get("text") or "")[:2000].strip()
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    if kind == "join" and value and client not in users:
        users[client] = value[:40]
        say([client], type="list", users=sorted(users.values()))
        say([other for other in users if other != client], type="join", user=users[client])
    elif kind == "message" and value and client in users:
        say(users, type="message", user=users[client], text=value)


while True:
    server, number, path, rest = requests.recv().split(b" ", 3)
    client = server, number
    headers, rest = netstring(rest)
    headers, (body, _) = json.loads(headers), netstring(rest)
    method = headers.get("METHOD")
    if method == "JSON":  # the server's own: the client left
        leave(client)
    elif method == "WEBSOCKET_HANDSHAKE":  # the body is what a server has to answer
        send([client], b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       b"Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n" % body)
    elif method == "WEBSOCKET":
        flags = int(headers["FLAGS"], 16)
        if flags & 15 == 1:
            message(client, body)
        elif flags & 15 == 8:
            leave(client)
            send([client], frame(0x88, body[:2]))
            send([client], b"")  # nothing at all closes the connection
        elif flags & 15 == 9:
            send([client], frame(0x8A, body))
    else:
        send([client], b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
                       b"Content-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE))
