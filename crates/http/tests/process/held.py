"""A file system in which one thing that is asked of the root, and of files named `held*`, stands still.

held.py MOUNT OPERATION: prints `ready`, then `OPERATION PATH` for each that stands still, until a line `go` comes on
standard input; after that everything is answered at once, until a line `hold`.
"""
import stat
import sys
import threading

import fusepy

mount, held = sys.argv[1:]
SIZES = {"small": 1000, "large": 3 * 1024 * 1024 + 17}
PATTERN = bytes(range(251))
go = threading.Event()


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Files(fusepy.Operations):
    def __call__(self, operation, path, *arguments):
        if operation == held and (path == "/" or path.startswith("/held")) and not go.is_set():
            say(f"{operation} {path}")
            go.wait()
        return super().__call__(operation, path, *arguments)

    def init(self, path):
        say("ready")

    def getattr(self, path, fh=None):
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        size = SIZES.get(path.rpartition("-")[2])
        if size is None:
            raise fusepy.FuseOSError(2)
        return {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": size, "st_mtime": 1}

    def read(self, path, count, offset, fh):
        end = min(offset + count, SIZES[path.rpartition("-")[2]])
        start = offset % len(PATTERN)
        length = max(end - offset, 0)
        return (PATTERN * (length // len(PATTERN) + 2))[start:start + length]


def obey():
    for order in sys.stdin:
        if order == "hold\n":
            go.clear()
            say("holds")
        else:
            go.set()


threading.Thread(target=obey, daemon=True).start()
# What is known of a name is asked anew each time, and that it is there is not.
fusepy.FUSE(Files(), mount, foreground=True, encoding="utf-8", entry_timeout=60, attr_timeout=0)
