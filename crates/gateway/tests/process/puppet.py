"""A handler on strings: real sockets of libzmq, which a test moves.

It prints each message that it gets, in hexadecimal digits, and reads what to do from its standard input:
`say HEX` publishes a message. With `echo` as its third argument it answers each request by itself, with the request's
path and its own name (the fourth).
"""

import os
import select
import sys

import zmq

send_spec, recv_spec = sys.argv[1:3]
mode = sys.argv[3] if len(sys.argv) > 3 else "puppet"
name = sys.argv[4] if len(sys.argv) > 4 else ""

context = zmq.Context()
requests = context.socket(zmq.PULL)
replies = context.socket(zmq.PUB)
for one in requests, replies:
    one.linger = 0
    one.set(zmq.RECONNECT_IVL, 20)
    one.set(zmq.SNDHWM, 0)
    one.set(zmq.RCVHWM, 0)
    if "beats" in mode:
        one.set(zmq.HEARTBEAT_IVL, 20)
        one.set(zmq.HEARTBEAT_TIMEOUT, 2000)
requests.connect(send_spec)
replies.connect(recv_spec)
print("ready", flush=True)


def echo(message):
    sender, number, path, _ = message.split(b" ", 3)
    if path == b"@*":
        return
    body = path + b" " + name.encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    replies.send(b"%s %d:%s, %s" % (sender, len(number), number, head + body))


poller = zmq.Poller()
poller.register(requests, zmq.POLLIN)
poller.register(0, zmq.POLLIN)
orders = b""
while True:
    ready = dict(poller.poll())
    if requests in ready:
        message = requests.recv()
        if "echo" in mode:
            echo(message)
        else:
            print(message.hex(), flush=True)
    if 0 in ready:
        more = os.read(0, 1 << 20)
        if not more:
            sys.exit()
        *lines, orders = (orders + more).split(b"\n")
        for line in lines:
            replies.send(bytes.fromhex(line.split(b" ")[1].decode()))
