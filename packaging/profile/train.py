"""Loads Brim's programs with what they mostly do, so that their profile can be taken: train.py PROGRAMS

PROGRAMS is a folder with brim-bench and instrumented programs beside it. What most users want fast is
brim-bench's work; the rest here is what else is done so often that it must not be taken for rare.
"""
import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import websockets

PROGRAMS = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "../../examples")
HELLO = os.path.join(HERE, "../../bench/handlers/hello.py")
SECONDS = 2
# Allocation as in the unit.
ENVIRONMENT = dict(os.environ, GLIBC_TUNABLES="glibc.malloc.tcache_count=200")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


PLAIN, TLS, SEND, RECV, CHAT_SEND, CHAT_RECV = free_ports(6)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stdout}")
    return done.stdout


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def prepare(folder):
    site = os.path.join(folder, "site")
    os.mkdir(site)
    write(os.path.join(site, "page.html"), "<p>All of Brim, and a little more of it.</p>\n" * 400)
    write(os.path.join(site, "small.txt"), "x" * 1024)
    shutil.copy(os.path.join(EXAMPLES, "basic-auth/users"), folder)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", "/CN=localhost", "-keyout", f"{folder}/key", "-out", f"{folder}/certificate")
    os.chmod(folder, 0o755)
    write(os.path.join(folder, "brim.conf"), f"""\
[wsgi]
listen = 127.0.0.1:{PLAIN}
apps = hello chat private moved upstream site echo stats
[wsgi#tls]
listen = 127.0.0.1:{TLS}
certfile = {folder}/certificate
keyfile = {folder}/key
apps = hello upstream zipped site echo
[gateway]
link = {folder}/link
[hello]
call = handler
route = /hello
send_spec = tcp://127.0.0.1:{SEND}
recv_spec = tcp://127.0.0.1:{RECV}
[chat]
call = handler
route = /chat/
send_spec = tcp://127.0.0.1:{CHAT_SEND}
recv_spec = tcp://127.0.0.1:{CHAT_RECV}
[private]
call = basic_auth
route = /private/
auth_path = {folder}/users
[moved]
call = redirect
route = /moved/
to = /site/
[upstream]
call = proxy
route = /upstream/
strip_prefix = yes
upstream = 127.0.0.1:{PLAIN}
[zipped]
call = compress
[site]
call = files
path = /site/
root = {site}
""")


def load(*command):
    """By wrk or h2load; many of the answers are to be errors, but answers they shall be."""
    seen = run(*command)
    if not re.search(r"[1-9]\d* requests in|[1-9]\d* done", seen):
        sys.exit(f"{' '.join(command)}: {seen}")


def wrk(folder, path, method="GET", body=0, **headers):
    script = os.path.join(folder, "request.lua")
    lines = [f'wrk.method = "{method}"']
    lines += [f'wrk.body = string.rep("x", {body})'] if body else []
    lines += [f'wrk.headers["{name.replace("_", "-")}"] = "{value}"' for name, value in headers.items()]
    write(script, "\n".join(lines))
    load("wrk", "-t1", "-c20", f"-d{SECONDS}s", "-s", script, f"http://127.0.0.1:{PLAIN}{path}")


def h2load(path, *more):
    load("h2load", "-c10", "-m10", f"-D{SECONDS}", *more, f"https://127.0.0.1:{TLS}{path}")


async def chat():
    """Ten that write in turn; each word goes to all of them."""
    sockets = [await websockets.connect(f"ws://127.0.0.1:{PLAIN}/chat/") for _ in range(10)]
    for number, each in enumerate(sockets):
        await each.send(json.dumps({"type": "join", "user": f"user {number}"}))
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for each in sockets:
            await each.send(json.dumps({"type": "message", "text": "What is new? " * 20}))
        for each in sockets:
            while "message" not in await each.recv():
                pass
    for each in sockets:
        await each.close()


def wait_for(url, expected):
    for _ in range(200):
        seen = subprocess.run(["curl", "-sk", url], stdout=subprocess.PIPE).stdout
        if expected in seen:
            return
        time.sleep(0.1)
    sys.exit(f"{url}: {seen!r}")


def load_all(folder):
    wait_for(f"http://127.0.0.1:{PLAIN}/hello", b"Hello")
    wait_for(f"http://127.0.0.1:{PLAIN}/chat/", b"html")
    wait_for(f"https://127.0.0.1:{TLS}/site/small.txt", b"xxx")
    for path in "/site/small.txt", "/site/page.html", "/upstream/site/page.html", "/moved/x", "/site/", "/stats":
        wrk(folder, path)
    wrk(folder, "/site/page.html", Range="bytes=100-1999")
    wrk(folder, "/site/page.html", If_Modified_Since="Sat, 01 Jan 2050 00:00:00 GMT")
    wrk(folder, "/private/x")
    for path in "/echo", "/hello", "/upstream/echo":
        wrk(folder, path, method="POST", body=1000)
        wrk(folder, path, method="POST", body=50_000)
    for path in "/site/small.txt", "/site/page.html", "/upstream/site/small.txt", "/hello", "/missing":
        h2load(path)
    h2load("/site/page.html", "-H", "accept-encoding: br")
    h2load("/site/page.html", "-H", "accept-encoding: gzip")
    h2load("/site/small.txt", "--h1")
    h2load("/echo", "-d", os.path.join(folder, "site/small.txt"))
    asyncio.run(chat())


def main():
    run(f"{PROGRAMS}/brim-bench", "--rounds", "1", "--seconds", str(SECONDS),
        "echo", "small", "large", "proxy", "tls", "handler", "tcp", "udp")
    with tempfile.TemporaryDirectory(prefix="brim-train-") as folder:
        prepare(folder)
        ENVIRONMENT["LOGS_DIRECTORY"] = folder
        commands = [[f"{PROGRAMS}/brim-{name}", "--config", f"{folder}/brim.conf", section] for name, section in
                    [("gateway", "gateway"), ("http", "wsgi"), ("http", "wsgi#tls")]]
        commands += [[sys.executable, HELLO, f"tcp://127.0.0.1:{SEND}", f"tcp://127.0.0.1:{RECV}", "1"]]
        commands += [[sys.executable, f"{EXAMPLES}/handlers/chat/chat.py",
                      f"tcp://127.0.0.1:{CHAT_SEND}", f"tcp://127.0.0.1:{CHAT_RECV}"]]
        running = [subprocess.Popen(each, env=ENVIRONMENT, stdout=subprocess.DEVNULL) for each in commands]
        try:
            load_all(folder)
        finally:
            # A program writes its profile when it ends.
            for each in running:
                each.send_signal(signal.SIGTERM)
            for each in running:
                each.wait(20)


main()
