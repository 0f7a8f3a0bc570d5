"""A handler that answers each request with its path, a moment later."""

import sys
import time

import zmq

send_spec, recv_spec, moment = sys.argv[1:4]
context = zmq.Context()
requests = context.socket(zmq.PULL)
replies = context.socket(zmq.PUB)
for one in requests, replies:
    one.linger = 0
    one.set(zmq.RECONNECT_IVL, 50)
requests.connect(send_spec)
replies.connect(recv_spec)
print("ready", flush=True)

while True:
    server, client, path, rest = requests.recv().split(b" ", 3)
    is_begun = b'"x-mongrel2-upload-start"' in rest
    if path == b"@*" or is_begun and b'"x-mongrel2-upload-done"' not in rest:
        continue
    time.sleep(float(moment))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(path)
    replies.send(b"%s %d:%s, %s%s" % (server, len(client), client, head, path))
