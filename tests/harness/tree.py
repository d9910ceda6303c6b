"""Makes, changes and describes a tree of files that has everything a file system must carry.

    tree.py make DIR        the same tree every time
    tree.py change DIR      overwrites, appends, truncates, renames: the same changes every time
    tree.py describe DIR [content] [times] [identity]
                            one line of JSON per entry, sorted by name: what stat, readlink,
                            listxattr and (with `content`) SHA-256 of the bytes say, and (with
                            `identity`) which name is the first one of the same file

A test makes and changes one tree on the mount and one in a plain directory; both must be described
with the same words.
"""

import hashlib
import json
import os
import random
import stat
import sys

MIB = 1 << 20
ODD_NAMES = [
    b"with space", b"-rf", b"line\nbreak", b"quote'\"", b"$(true)", b"*", b".hidden", b"\xff\xfe\x80",
    "ü".encode(), b"u\xcc\x88", b"tab\there", b"back\\slash", b"\\x41", b"n" * 255, "\U0001f600".encode(),
]


def noise(seed, size):
    return random.Random(seed).randbytes(size)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def make(root):
    for i in range(40):
        write(b"%s/small/%d" % (root, i), noise(i, i * 97))
    deep = root + b"/tree" + b"".join(b"/level%d" % i for i in range(12))
    for i, name in enumerate(ODD_NAMES):
        write(deep + b"/" + name, noise(100 + i, 1000))
        os.makedirs(root + b"/odd directories/" + name)
        write(root + b"/odd directories/" + name + b"/file", name)
    os.makedirs(root + b"/empty directory")
    write(root + b"/large", noise(1, 66 * MIB + 13))
    for name in (b"overwritten", b"appended", b"shortened", b"lengthened", b"replaced"):
        write(root + b"/" + name, noise(name, 9 * MIB + 5))
    write(root + b"/replacing", noise(7, 5 * MIB))
    with open(root + b"/sparse", "wb") as file:
        for offset in (0, 40 * MIB + 5, 200 * MIB):
            file.seek(offset)
            file.write(noise(offset, 3000))
        file.truncate(210 * MIB + 1)
    os.symlink(b"small/1", root + b"/link")
    os.symlink(b"../nowhere/\xff", root + b"/dangling")
    os.symlink(b"t" * 4000, root + b"/long link")
    os.link(root + b"/small/2", root + b"/hard link")
    os.link(root + b"/small/2", root + b"/tree/hard link")
    os.mkfifo(root + b"/pipe")
    for path in (root + b"/small/3", root + b"/empty directory"):
        os.setxattr(path, "user.test.bytes", b"\x00\xff value")
        os.setxattr(path, "user.test.large", noise(5, 2000))
        os.setxattr(path, "user.test.empty", b"")
    os.chmod(root + b"/small/4", 0o4750)
    os.chmod(root + b"/small/5", 0)
    os.chmod(root + b"/tree", 0o1777)
    os.chown(root + b"/small/6", 1234, 4321)
    os.lchown(root + b"/link", 77, 88)
    for number, path in enumerate(walk(root)):
        seconds = (-86_400, 1_000_000_000, 4_102_444_800)[number % 3] + number
        os.utime(path, ns=(seconds * 10**9 + 1, seconds * 10**9 + 123_456_789), follow_symlinks=False)


def at(path, offset, data):
    descriptor = os.open(path, os.O_WRONLY)
    os.pwrite(descriptor, data, offset)
    os.close(descriptor)


def change(root):
    at(root + b"/overwritten", 4 * MIB - 7, noise(20, 100))  # across two chunks
    at(root + b"/large", 30 * MIB, noise(21, 9 * MIB))  # whole chunks and parts of two
    at(root + b"/sparse", 100 * MIB, noise(22, 70_000))  # into a hole
    with open(root + b"/appended", "ab") as file:
        file.write(noise(23, 5 * MIB))
    with open(root + b"/small/7", "ab") as file:
        file.write(b"one more line\n")
    os.truncate(root + b"/shortened", 4 * MIB + 17)
    os.truncate(root + b"/lengthened", 30 * MIB)
    at(root + b"/lengthened", 20 * MIB, b"far behind the old end")
    os.truncate(root + b"/small/8", 0)
    os.truncate(root + b"/small/9", 10)
    write(root + b"/small/10", b"anew")
    os.rename(root + b"/replacing", root + b"/replaced")
    os.rename(root + b"/tree/level0", root + b"/small/moved")
    os.unlink(root + b"/hard link")


def walk(root):
    """Every entry, sorted, directories after what they hold."""
    for name in sorted(os.listdir(root)):
        path = root + b"/" + name
        if stat.S_ISDIR(os.lstat(path).st_mode):
            yield from walk(path)
        yield path


def digest(path):
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(MIB):
            sha.update(data)
    return sha.hexdigest()


def describe(root, options):
    lines = []
    first = {}
    for path in walk(root):
        status = os.lstat(path)
        if "identity" in options and status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            first.setdefault(status.st_ino, path)
        entry = {
            "name": path[len(root):].decode("latin-1"),
            "mode": oct(status.st_mode),
            "owner": [status.st_uid, status.st_gid],
            "links": status.st_nlink,
        }
        if not stat.S_ISDIR(status.st_mode):
            entry["size"] = status.st_size
        if status.st_ino in first:
            entry["same as"] = first[status.st_ino][len(root):].decode("latin-1")
        if "times" in options:
            entry["mtime"] = status.st_mtime_ns
        if stat.S_ISLNK(status.st_mode):
            entry["target"] = os.readlink(path).decode("latin-1")
        else:
            entry["xattrs"] = {
                name: os.getxattr(path, name).hex()
                for name in sorted(os.listxattr(path)) if name.startswith("user.")
            }
        if "content" in options and stat.S_ISREG(status.st_mode):
            entry["sha256"] = digest(path)
        lines.append(json.dumps(entry, sort_keys=True))
    print("\n".join(sorted(lines)))


def main():
    command, root, *options = sys.argv[1:]
    root = os.fsencode(root)
    if command == "make":
        make(root)
    elif command == "change":
        change(root)
    elif command == "describe":
        describe(root, options)
    else:
        sys.exit(f"unknown command {command}")


main()
