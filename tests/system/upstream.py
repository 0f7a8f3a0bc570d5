# An upstream: HTTP/1.1 with kept connections, and an echo of WebSocket messages at /app/socket.
import asyncio, base64, hashlib, sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nbehind"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def echo(head, reader, writer):
    key = next(line.split(b":")[1].strip() for line in head.split(b"\r\n")
               if line.lower().startswith(b"sec-websocket-key:"))
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while True:
        first, length = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        data = await reader.readexactly(length & 127)
        data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        writer.write(bytes([first, len(data)]) + data)


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/app/socket " in head:
                await echo(head, reader, writer)
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
