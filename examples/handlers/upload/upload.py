"""Takes uploads, the same as upload.rs: python3 upload.py FOLDER [SEND_SPEC RECV_SPEC]

A small body is in the request. A large one is written to a file by the server, which says so before
("start": it can still be refused) and after ("done": an answer is due, and the file is ours to keep).
"""
import hashlib
import json
import os
import shutil
import sys
from urllib.parse import parse_qs

import zmq

FOLDER = sys.argv[1]
SEND_SPEC, RECV_SPEC = sys.argv[2:4] or ["tcp://127.0.0.1:9997", "tcp://127.0.0.1:9996"]
LIMIT = 10 * 2**30
PAGE = open(os.path.join(os.path.dirname(__file__), "page.html"), "rb").read()

context = zmq.Context()
requests = context.socket(zmq.PULL)
requests.connect(SEND_SPEC)
replies = context.socket(zmq.PUB)
replies.connect(RECV_SPEC)


def netstring(data):
    length, rest = data.split(b":", 1)
    return rest[: int(length)], rest[int(length) + 1 :]


def respond(server, client, status, content_type, body, close=False):
    head = (f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
            f"Connection: {'close' if close else 'keep-alive'}\r\n\r\n").encode()
    replies.send(b"%s %d:%s, %s" % (server, len(client), client, head + body))
    if close:
        replies.send(b"%s %d:%s, " % (server, len(client), client))


def keep(headers, body):
    """Puts what was uploaded into the folder; returns what the page is told."""
    name = parse_qs(headers.get("QUERY", "")).get("name", ["upload"])[0]
    target = os.path.join(FOLDER, os.path.basename(name) or "upload")
    digest = hashlib.sha256()
    path = headers.get("x-mongrel2-upload-done")
    if path:
        with open(path, "rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
        shutil.move(path, target)
    else:
        digest.update(body)
        with open(target, "wb") as file:
            file.write(body)
    return {"name": name, "bytes": os.path.getsize(target), "sha256": digest.hexdigest()}


while True:
    server, client, path, rest = requests.recv().split(b" ", 3)
    headers, rest = netstring(rest)
    headers, (body, _) = json.loads(headers), netstring(rest)
    started, done = (headers.get(f"x-mongrel2-upload-{what}") for what in ("start", "done"))
    if headers.get("METHOD") == "JSON":  # the client left; its file is deleted
        continue
    elif headers.get("METHOD") == "GET":
        respond(server, client, "200 OK", "text/html; charset=utf-8", PAGE)
    elif started and not done:
        if int(headers.get("content-length", 0)) > LIMIT:
            respond(server, client, "413 Content Too Large", "text/plain", b"Too large.\n", close=True)
    elif started != done:  # a client has made these headers up
        respond(server, client, "400 Bad Request", "text/plain", b"No.\n", close=True)
    else:
        answer = json.dumps(keep(headers, body)).encode()
        respond(server, client, "200 OK", "application/json", answer)
