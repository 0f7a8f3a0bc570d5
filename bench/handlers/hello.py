"""The least that a handler does. Usage: hello.py SEND_SPEC RECV_SPEC WAITING

Answers each request; for /wait only when WAITING clients wait, and then all of them by one message.
"""
import sys

import zmq

context = zmq.Context()
requests = context.socket(zmq.PULL)
requests.connect(sys.argv[1])
replies = context.socket(zmq.PUB)
replies.connect(sys.argv[2])
enough = int(sys.argv[3])
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nHello\n"
waiting = []

while True:
    server, client, path, rest = requests.recv().split(b" ", 3)
    if path == b"/wait":
        waiting.append(client)
        if len(waiting) < enough:
            continue
        client = b" ".join(waiting)
        waiting = []
    elif path == b"@*":
        if client in waiting:
            waiting.remove(client)
        continue
    replies.send(b"%s %d:%s, %s" % (server, len(client), client, ANSWER))
