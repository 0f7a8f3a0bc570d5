"""Goes through the rules of RFC 6455, after the cases of the Autobahn test suite, at a handler that echoes.

Usage: websockets_rules.py HOST PORT PATH LIMIT [CASE TO LEAVE OUT]...

Whoever keeps the rules is the library `websockets`; who breaks them writes bytes. LIMIT is the longest message.
"""
import asyncio
import os
import socket
import struct
import sys

import websockets
from websockets.frames import Close

HOST, PORT, PATH, LIMIT = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
URL = f"ws://{HOST}:{PORT}{PATH}"
CASES = []


def case(function):
    CASES.append(function)
    return function


def connect():
    return websockets.connect(URL, max_size=None, compression=None, ping_interval=None, close_timeout=10)


# 1: messages of all lengths, whole.
@case
async def messages_of_all_lengths():
    async with connect() as client:
        for length in (0, 125, 126, 127, 128, 65535, 65536, 65537, LIMIT):
            for message in ("*" * length, b"\xfe" * length):
                await client.send(message)
                assert await client.recv() == message, length


# 2: pings.
@case
async def pings_are_answered_with_their_payload():
    async with connect() as client:
        for payload in (b"", b"Hello", bytes(range(125)), b"\x00\xff\xfe"):
            await asyncio.wait_for(await client.ping(payload), 10)
        waiters = [await client.ping(f"ping {number}".encode()) for number in range(10)]
        await asyncio.wait_for(asyncio.gather(*waiters), 10)


@case
async def pongs_that_nobody_wants_are_swallowed():
    async with connect() as client:
        for payload in (b"", b"unwanted"):
            await client.pong(payload)
        await client.send("after")
        assert await client.recv() == "after"


# 5: fragments.
@case
async def fragments_make_one_message():
    async with connect() as client:
        for pieces in (["a", "b"], ["", "", ""], ["", "middle", ""], ["x"] * 1000, [b"\x00", b"\xff"]):
            await client.send(pieces)
            assert await client.recv() == type(pieces[0])().join(pieces)


@case
async def pings_between_fragments_are_answered_at_once():
    async with connect() as client:
        pongs = []

        async def pieces():
            for piece in ("one ", "two ", "three"):
                yield piece
                waiter = await client.ping()
                await asyncio.wait_for(waiter, 10)
                pongs.append(piece)

        await client.send(pieces())
        assert await client.recv() == "one two three" and len(pongs) == 3


# 6: text.
@case
async def text_is_text_in_any_fragments():
    text = "κόσμε \U0010ffff \ufffe \x00 \ud7ff\ue000"
    data = text.encode()
    with Raw() as raw:
        for cut in range(len(data)):
            # In the middle of letters, too.
            raw.send(0x01, data[:cut])
            raw.send(0x80, data[cut:])
            assert raw.frame() == (0x81, data), cut


def text_is_refused(data, pieces=1):
    def run():
        with Raw() as raw:
            if pieces == 1:
                raw.send(0x81, data)
            else:
                raw.send(0x01, data[:-1])
                raw.send(0x80, data[-1:])
            raw.is_failed(1007)

    run.__name__ = f"text_is_no_{data.hex()}_in_{pieces}"
    CASES.append(run)


for wrong in (
    b"\x80", b"\xbf", b"\xfe", b"\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x88\x80\x80\x80",
    b"\xc1\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xe2\x82", b"\xf0\x9f\x98",
):
    text_is_refused(wrong)
    if len(wrong) > 1:
        text_is_refused(wrong, 2)


# 3 and 4: reserved bits and opcodes.
def is_refused(name, *frames, code=1002):
    def run():
        with Raw() as raw:
            for frame in frames:
                raw.bytes(frame)
            raw.is_failed(code)

    run.__name__ = name
    CASES.append(run)


def masked(first, payload, length=None):
    return bytes([first, 0x80 | (len(payload) if length is None else length)]) + b"\0\0\0\0" + payload


for bits in range(1, 8):
    is_refused(f"reserved_bits_{bits}", masked(0x81 | bits << 4, b"x"))
for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    is_refused(f"opcode_{opcode}", masked(0x80 | opcode, b""))
    is_refused(f"opcode_{opcode}_after_a_message", masked(0x81, b"ok"), masked(0x80 | opcode, b"x"))
is_refused("no_mask", b"\x81\x01x")
is_refused("no_mask_on_a_ping", b"\x89\x00")
is_refused("a_ping_of_126_bytes", b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126)
is_refused("a_close_of_126_bytes", b"\x88\xfe\x00\x7e\0\0\0\0" + b"\x03\xe8" + b"x" * 124)
is_refused("a_ping_in_fragments", masked(0x09, b"x"))
is_refused("a_close_in_fragments", masked(0x08, b"\x03\xe8"))
is_refused("a_continuation_of_nothing", masked(0x80, b"x"))
is_refused("a_continuation_of_nothing_without_its_end", masked(0x00, b"x"))
is_refused("a_continuation_after_the_end", masked(0x01, b"a"), masked(0x80, b"b"), masked(0x80, b"c"))
is_refused("text_within_a_message", masked(0x01, b"a"), masked(0x81, b"b"))
is_refused("binary_within_a_message", masked(0x01, b"a"), masked(0x02, b"b"))
is_refused("a_length_of_2_to_63", b"\x82\xff" + struct.pack("!Q", 2**63) + b"\0\0\0\0")

# 7: the closing handshake.
is_refused("a_close_of_one_byte", masked(0x88, b"x"))
is_refused("a_close_with_a_reason_that_is_no_text", masked(0x88, b"\x03\xe8\xff"), code=1007)
for number in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
    is_refused(f"a_close_of_{number}", masked(0x88, struct.pack("!H", number)))

# 9: sizes.
is_refused("a_message_over_the_limit", b"\x82\xff" + struct.pack("!Q", LIMIT + 1) + b"\0\0\0\0", code=1009)
is_refused("fragments_over_the_limit",
           b"\x02\xff" + struct.pack("!Q", LIMIT) + b"\0\0\0\0" + b"x" * LIMIT, masked(0x80, b"x"), code=1009)
is_refused("a_length_of_2_to_62", b"\x82\xff" + struct.pack("!Q", 2**62) + b"\0\0\0\0", code=1009)


@case
def every_code_that_may_be_sent_is_echoed():
    for number in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        with Raw() as raw:
            raw.send(0x88, struct.pack("!H", number) + "größer".encode())
            first, payload = raw.frame()
            assert first == 0x88 and Close.parse(payload).code == number, (number, payload)
            assert raw.at_end(), number


@case
def a_close_without_a_code_is_answered():
    with Raw() as raw:
        raw.send(0x88, b"")
        assert raw.frame()[0] == 0x88 and raw.at_end()


@case
def nothing_is_heard_after_a_close():
    with Raw() as raw:
        raw.send(0x88, b"\x03\xe8")
        try:
            raw.send(0x81, b"late")
            raw.send(0x89, b"late")
        except OSError:
            pass
        frames = [raw.frame()]
        assert frames[0][0] == 0x88 and raw.at_end()


@case
def a_frame_may_come_byte_by_byte():
    with Raw() as raw:
        for byte in masked(0x01, b"slow ") + masked(0x89, b"") + masked(0x80, b"client"):
            raw.bytes(bytes([byte]))
        assert raw.frame() == (0x8A, b"")
        assert raw.frame() == (0x81, b"slow client")


class Raw:
    """A connection that writes what it wants, and reads frames as a client has to."""

    def __init__(self):
        self.socket = socket.create_connection((HOST, PORT), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.bytes(f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        assert b" 101 " in self.file.readline()
        while self.file.readline().strip():
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def bytes(self, data):
        self.socket.sendall(data)

    def send(self, first, payload):
        mask = os.urandom(4)
        length = len(payload)
        head = (bytes([first, 0x80 | length]) if length < 126
                else struct.pack("!BBH", first, 0x80 | 126, length))
        self.bytes(head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))

    def frame(self):
        head = self.file.read(2)
        assert len(head) == 2, "no frame"
        first, length = head
        assert not length & 0x80, "a mask"
        if length == 126:
            (length,) = struct.unpack("!H", self.file.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.file.read(8))
        return first, self.file.read(length)

    def is_failed(self, code):
        """The connection is failed for the right reason; messages from before may still be echoed."""
        while True:
            first, payload = self.frame()
            if first == 0x88:
                assert Close.parse(payload).code == code, Close.parse(payload)
                break
        assert self.at_end()

    def at_end(self):
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True


failed = 0
for run in CASES:
    if run.__name__ in sys.argv[5:]:
        continue
    try:
        result = run()
        if asyncio.iscoroutine(result):
            asyncio.run(asyncio.wait_for(result, 60))
    except Exception as error:
        failed += 1
        print(f"{run.__name__}: {type(error).__name__}: {error}")
print(f"{len(CASES)} cases, {failed} failed")
sys.exit(1 if failed else 0)
