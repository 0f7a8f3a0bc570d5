"""A handler that does what the last part of a path says; src/bin/test-handler.rs does the same.

Usage: handler.py NAME SEND_SPEC RECV_SPEC [HEARTBEAT_MS]
"""
import hashlib
import json
import os
import struct
import sys

import zmq

NAME, SEND_SPEC, RECV_SPEC, *HEARTBEAT = sys.argv[1:]


def connect(context, kind, spec):
    socket = context.socket(kind)
    socket.set(zmq.LINGER, 1000)
    if HEARTBEAT:
        socket.set(zmq.HEARTBEAT_IVL, int(HEARTBEAT[0]))
        socket.set(zmq.HEARTBEAT_TIMEOUT, 30_000)
        socket.set(zmq.HEARTBEAT_TTL, 60_000)
    socket.set(zmq.RECONNECT_IVL, 50)
    socket.connect(spec)
    return socket


def tnetstring(data):
    length, rest = data.split(b":", 1)
    length = int(length)
    value, kind, rest = rest[:length], rest[length : length + 1], rest[length + 1 :]
    if kind == b",":
        return value, rest
    if kind == b"]":
        items = []
        while value:
            item, value = tnetstring(value)
            items.append(item)
        return items, rest
    assert kind == b"}", kind
    items = {}
    while value:
        name, value = tnetstring(value)
        items[name], value = tnetstring(value)
    return items, rest


def parse(message):
    """Server, id, path, headers as lists of text, body."""
    server, client, path, rest = message.split(b" ", 3)
    headers, rest = tnetstring(rest)
    body, rest = tnetstring(rest)
    assert rest == b"", rest
    if isinstance(headers, bytes):
        headers = json.loads(headers)
    else:
        text = lambda value: value.decode("latin-1")
        headers = {
            text(name): [text(one) for one in value] if isinstance(value, list) else text(value)
            for name, value in headers.items()
        }
    lists = {name: value if isinstance(value, list) else [value] for name, value in headers.items()}
    return server, client, path.decode(), lists, body


def frame(flags, payload):
    length = len(payload)
    if length < 126:
        return bytes([flags, length]) + payload
    if length < 65536:
        return struct.pack("!BBH", flags, 126, length) + payload
    return struct.pack("!BBQ", flags, 127, length) + payload


class Handler:
    def __init__(self):
        context = zmq.Context()
        self.requests = connect(context, zmq.PULL, SEND_SPEC)
        self.replies = connect(context, zmq.PUB, RECV_SPEC)
        self.waiting = []
        self.drips = []
        self.notices = []
        self.uploads = {}

    def send(self, ids, payload):
        for start in range(0, len(ids), 128):
            some = b" ".join(ids[start : start + 128])
            self.replies.send(b"%s %d:%s, %s" % (self.server, len(some), some, payload))

    def control(self, client, entries):
        ids = b"X " + client
        value = b"3:ctl,%d:%s}" % (len(entries), entries)
        self.replies.send(b"%s %d:%s, %d:%s]" % (self.server, len(ids), ids, len(value), value))

    def respond(self, body, status="200 OK"):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        closes = self.headers.get("VERSION") == ["HTTP/1.0"] or self.headers.get("connection") == ["close"]
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{'Connection: close' + chr(13) + chr(10) if closes else ''}\r\n"
        self.send([self.client], head.encode() + (b"" if self.method == "HEAD" else body))
        if closes:
            self.send([self.client], b"")

    def run(self):
        while True:
            message = self.requests.recv()
            self.server, self.client, path, self.headers, self.body = parse(message)
            self.path = path
            self.method = self.headers.get("METHOD", [None])[0]
            if path == "@*":
                self.notices.append([int(self.client), json.loads(self.body)["type"]])
            elif self.method == "WEBSOCKET_HANDSHAKE":
                self.send([self.client], b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                          b"Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n" % self.body)
            elif self.method == "WEBSOCKET":
                self.websocket(int(self.headers["FLAGS"][0], 16))
            elif self.method in ("JSON", "XML"):
                self.send([self.client], b"%s got %s" % (path.encode(), self.body))
            elif "UPLOAD_STREAM" in self.headers:
                self.piece()
            else:
                getattr(self, path.rsplit("/", 1)[1])()

    def websocket(self, flags):
        if self.body == b"id":
            self.send([self.client], frame(0x81, self.client))
        elif flags & 15 in (1, 2):
            self.send([self.client], frame(flags, self.body))
        elif flags & 15 == 9:
            self.send([self.client], frame(0x8A, self.body))
        elif flags & 15 == 8:
            self.send([self.client], frame(0x88, self.body))
            self.send([self.client], b"")

    def piece(self):
        """Of an upload that comes as a stream; one that is refused is closed."""
        if self.headers["UPLOAD_STREAM"] == ["0"] and self.client not in self.uploads:
            if self.path.endswith("/refuse"):
                return self.send([self.client], b"")
            self.uploads[self.client] = [0, hashlib.sha256(), 0, self.headers]
        state = self.uploads[self.client]
        assert int(self.headers["UPLOAD_STREAM"][0]) == state[0], (self.headers, state)
        state[0] += len(self.body)
        state[1].update(self.body)
        state[2] += 1
        if "UPLOAD_STREAM_DONE" in self.headers:
            total, digest, pieces, self.headers = self.uploads.pop(self.client)
            self.method = self.headers["METHOD"][0]
            self.respond({"bytes": total, "sha256": digest.hexdigest(), "pieces": pieces})
        else:
            self.control(self.client, b"7:credits,5:20000#")

    # What a path may ask for.

    def echo(self):
        self.respond({"worker": NAME, "id": int(self.client), "path": self.path,
                      "headers": self.headers, "body": self.body.hex()})

    def same(self):
        """The body, as it came."""
        self.respond(self.body)

    def pieces(self):
        for piece in b"HTTP/1.1 200 OK\r\nCont", b"ent-Length: 10\r\n", b"\r\n01234", b"56789":
            self.send([self.client], piece)

    def chunked(self):
        for piece in (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\none\r\n",
                      b"5\r\nth", b"ree\r\n", b"0\r\n\r\n"):
            self.send([self.client], piece)

    def stream(self):
        self.send([self.client], b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(5):
            self.send([self.client], b"x" * 1000)
        self.send([self.client], b"")

    def big(self):
        self.send([self.client], b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b"y" * 5000000)
        self.send([self.client], b"")

    def wait(self):
        self.waiting.append(self.client)

    def tell(self):
        self.send(self.waiting, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(self.body), self.body))
        told, self.waiting = len(self.waiting), []
        self.respond({"told": told})

    def drip(self):
        """A stream, of the body for the time being."""
        self.send([self.client], b"HTTP/1.1 200 OK\r\n\r\n" + self.body)
        self.drips.append((self.client, self.body))

    def more(self):
        """More of all streams, of those that are gone too."""
        for client, body in self.drips:
            self.send([client], body * 1000)
        self.respond({})

    def heard(self):
        """The notices so far, and who waits."""
        self.respond({"notices": self.notices, "waiting": [int(client) for client in self.waiting]})

    def nobody(self):
        """A reply to an id that nobody has."""
        self.send([b"2000000000"], b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.respond({})

    def bad(self):
        """Replies that are none, and then a right one."""
        for message in (b"", b" ", self.server, self.server + b" 1:1,x", self.server + b" 2:1, x",
                        self.server + b" 0:, x", b"a_b 1:1, x", self.server + b" 1:x, x",
                        self.server + b" %d:%s, x" % (129 * 2 - 1, b" ".join([b"1"] * 129))):
            self.replies.send(message)
        self.respond({})

    def upload(self):
        start = self.headers.get("x-mongrel2-upload-start")
        done = self.headers.get("x-mongrel2-upload-done")
        if start and not done:
            mode = os.stat(start[0]).st_mode & 0o777
            self.uploads[self.client] = {"start": start[0], "mode": f"{mode:o}"}
        elif done:
            data = open(done[0], "rb").read()
            os.unlink(done[0])
            state = self.uploads.pop(self.client)
            self.respond({**state, "done": done[0], "bytes": len(data),
                          "sha256": hashlib.sha256(data).hexdigest()})
        else:
            self.respond({"bytes": len(self.body), "sha256": hashlib.sha256(self.body).hexdigest()})

    def refuse(self):
        self.headers["connection"] = ["close"]
        self.respond(b"too large", "413 Content Too Large")

    def started(self):
        """The clients whose uploads have begun and not ended."""
        self.respond([int(client) for client in self.uploads])


Handler().run()
