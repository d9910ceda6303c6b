"""System calls by name, on one side (a root directory and its open files) of a comparison.

`Side.call(step)` runs one step and returns something that JSON can hold: the result, or "ENOENT" and
the like. Paths are text in which each character is one byte (latin-1); "@3/x" means x below the
directory that is open in slot 3, "!/x" is /x on this machine. Nothing here knows which side is which.
"""

import ctypes
import errno
import fcntl
import hashlib
import json
import mmap
import os
import random
import resource
import shutil
import stat
import struct
import subprocess
import time

libc = ctypes.CDLL("libc.so.6", use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
libc.utimensat.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_SYMLINK_FOLLOW = 0x400
UTIME_NOW = (1 << 30) - 1
UTIME_OMIT = (1 << 30) - 2
F_OFD_SETLK = 37
CLOCK_REALTIME_COARSE = 5
BLOCK = 4096

UNALIGNED = "only what is aligned can be compared"

# uid, gid, supplementary groups. They share one group.
USERS = {0: (0, 0, []), 1: (61001, 61001, [61001, 63001]), 2: (61002, 61002, [61002, 63001])}


def become(user):
    """Acts as one of USERS from now on. The saved ids stay root's, so that it can come back."""
    os.setresuid(0, 0, 0)
    os.setresgid(0, 0, 0)
    uid, gid, groups = USERS[user]
    os.setgroups(groups)
    os.setresgid(gid, gid, 0)
    os.setresuid(uid, uid, 0)


def noise(seed, size):
    return random.Random(seed).randbytes(size)


def wait_for_tick():
    """
    Returns once the clock that local file systems take their times from is past the present moment: only
    then is one time later than another. A kernel with multigrain times (6.13) also takes times from the
    fine clock, which an idle processor lets run ahead of the other by more than its period.
    """
    then = time.clock_gettime_ns(time.CLOCK_REALTIME)
    while time.clock_gettime_ns(CLOCK_REALTIME_COARSE) <= then:
        time.sleep(0.001)


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def digest(data):
    return [len(data), hashlib.sha256(data).hexdigest()[:12]]


def timespecs(atime, mtime):
    both = [(0, UTIME_NOW) if t == "now" else (0, UTIME_OMIT) if t == "omit" else t for t in (atime, mtime)]
    return struct.pack("qqqq", *both[0], *both[1])


class Side:
    def __init__(self, root):
        self.root = os.fsencode(root)
        self.files = {}

    def path(self, text):
        name = text.encode("latin-1")
        if name.startswith(b"@"):
            slot, _, rest = name[1:].partition(b"/")
            return b"/proc/self/fd/%d/%s" % (self.fd(int(slot)), rest)
        if name.startswith(b"!"):
            return name[1:]
        return self.root + b"/" + name

    def fd(self, slot):
        # Nobody opens this many: EBADF, as for a slot that was never opened.
        return self.files.get(slot, 999)

    def close_all(self):
        for fd in self.files.values():
            os.close(fd)
        self.files.clear()

    def call(self, step):
        try:
            return getattr(self, "do_" + step["op"])(step)
        except OSError as error:
            name = errno.errorcode.get(error.errno, str(error.errno))
            return "EOPNOTSUPP" if error.errno == errno.EOPNOTSUPP else name

    def do_open(self, step):
        flags = os.O_CLOEXEC
        for name in step["flags"]:
            flags |= getattr(os, "O_" + name)
        fd = os.open(self.path(step["path"]), flags, step.get("mode", 0))
        if step["slot"] in self.files:
            os.close(self.files[step["slot"]])
        # Both sides must not differ in the numbers that they use.
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 1000)
        os.close(fd)
        self.files[step["slot"]] = high
        return "open"

    def do_close(self, step):
        fd = self.files.pop(step["slot"], None)
        if fd is not None:
            os.close(fd)

    def direct(self, fd):
        return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT != 0

    def do_read(self, step):
        fd, size, at = self.fd(step["slot"]), step["size"], step.get("at")
        if self.direct(fd):
            buffer = mmap.mmap(-1, (size // BLOCK + 1) * BLOCK)
            count = os.preadv(fd, [buffer], (at or 0) // BLOCK * BLOCK)
            return digest(buffer[:count])
        return digest(os.read(fd, size) if at is None else os.pread(fd, size, at))

    def do_write(self, step):
        fd, size, at = self.fd(step["slot"]), step["size"], step.get("at")
        if self.direct(fd):
            size = (size // BLOCK + 1) * BLOCK
            buffer = mmap.mmap(-1, size)
            buffer[:] = noise(step["seed"], size)
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND and os.fstat(fd).st_size % BLOCK != 0:
                return UNALIGNED
            return os.pwritev(fd, [buffer], (at or 0) // BLOCK * BLOCK)
        data = noise(step["seed"], size)
        return os.write(fd, data) if at is None else os.pwrite(fd, data, at)

    def do_mmap(self, step):
        fd, size, at = self.fd(step["slot"]), step["size"], step["at"]
        status = os.fstat(fd)
        # How large a directory is, is each file system's own affair.
        length = BLOCK if stat.S_ISDIR(status.st_mode) else status.st_size
        if length <= at:
            return "too short"
        size = min(size, length - at)
        share = mmap.MAP_PRIVATE if step["private"] else mmap.MAP_SHARED
        with mmap.mmap(fd, length, share, mmap.PROT_READ | mmap.PROT_WRITE) as view:
            view[at : at + size] = noise(step["seed"], size)
            seen = digest(view[:])
            if not step["private"]:
                view.flush()
        return seen

    def do_truncate(self, step):
        os.truncate(self.path(step["path"]), step["size"])

    def do_ftruncate(self, step):
        os.ftruncate(self.fd(step["slot"]), step["size"])

    def do_mkdir(self, step):
        os.mkdir(self.path(step["path"]), step["mode"])

    def do_rmdir(self, step):
        os.rmdir(self.path(step["path"]))

    def do_mknod(self, step):
        os.mknod(self.path(step["path"]), step["mode"], os.makedev(*step["device"]))

    def do_symlink(self, step):
        os.symlink(step["target"].encode("latin-1"), self.path(step["path"]))

    def do_readlink(self, step):
        return os.readlink(self.path(step["path"])).decode("latin-1")

    def do_link(self, step):
        self.link(self.path(step["path"]), self.path(step["to"]), step.get("follow", False))

    def do_linkfd(self, step):
        source = b"/proc/self/fd/%d" % self.fd(step["slot"])
        self.link(source, self.path(step["to"]), True)

    def link(self, source, target, follow):
        # os.link follows no links, whatever it is told.
        flags = AT_SYMLINK_FOLLOW if follow else 0
        checked(libc.linkat(AT_FDCWD, source, AT_FDCWD, target, flags))

    def do_unlink(self, step):
        os.unlink(self.path(step["path"]))

    def do_rename(self, step):
        old, new = self.path(step["path"]), self.path(step["to"])
        ctypes.set_errno(0)
        checked(libc.renameat2(AT_FDCWD, old, AT_FDCWD, new, step.get("flags", 0)))

    def do_chmod(self, step):
        os.chmod(self.path(step["path"]), step["mode"])

    def do_fchmod(self, step):
        os.fchmod(self.fd(step["slot"]), step["mode"])

    def do_chown(self, step):
        follow = step.get("follow", False)
        os.chown(self.path(step["path"]), step["uid"], step["gid"], follow_symlinks=follow)

    def do_fchown(self, step):
        os.fchown(self.fd(step["slot"]), step["uid"], step["gid"])

    def do_utimens(self, step):
        times = timespecs(step["atime"], step["mtime"])
        if "slot" in step:
            checked(libc.futimens(self.fd(step["slot"]), times))
        else:
            checked(libc.utimensat(AT_FDCWD, self.path(step["path"]), times, AT_SYMLINK_NOFOLLOW))
        if isinstance(step["atime"], str):
            return None
        status = os.fstat(self.fd(step["slot"])) if "slot" in step else os.lstat(self.path(step["path"]))
        return list(divmod(status.st_atime_ns, 10**9))

    def do_accessed(self, step):
        """Reads a file, a directory or a link, and says whether its access time has moved."""
        path = self.path(step["path"])
        if step.get("changed"):
            # Whoever watches has read the directory since the last step, perhaps at a time of the fine clock.
            wait_for_tick()
            os.mkdir(path + b"/changed")
            os.rmdir(path + b"/changed")
        before = os.lstat(path)
        wait_for_tick()
        if stat.S_ISDIR(before.st_mode):
            os.listdir(path)
        elif stat.S_ISLNK(before.st_mode):
            os.readlink(path)
        else:
            fd = os.open(path, os.O_RDONLY | (os.O_NOATIME if step.get("noatime") else 0))
            os.read(fd, 10)
            os.close(fd)
        after = os.lstat(path)
        same = (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)
        return [after.st_atime_ns > before.st_atime_ns, same]

    def do_setxattr(self, step):
        value = noise(step["seed"], step["size"]) if "size" in step else bytes.fromhex(step["value"])
        os.setxattr(self.path(step["path"]), step["name"], value, step.get("flags", 0), follow_symlinks=False)

    def do_getxattr(self, step):
        return os.getxattr(self.path(step["path"]), step["name"], follow_symlinks=False).hex()

    def do_getxattr_into(self, step):
        """With a buffer of `size` bytes; 0 asks how many there are."""
        buffer = ctypes.create_string_buffer(max(1, step["size"]))
        name = os.fsencode(step["name"])
        return checked(libc.getxattr(self.path(step["path"]), name, buffer, ctypes.c_size_t(step["size"])))

    def do_running(self, step):
        """What open(2) for writing says of a program that runs, and exec(2) of one that is open for writing."""
        path = self.path(step["path"])
        shutil.copy("/bin/sleep", path)
        os.chmod(path, 0o755)
        program = subprocess.Popen([path, "60"])
        try:
            # Popen returns once exec(2) has succeeded.
            writing = self.call({"op": "open", "slot": 99, "path": step["path"], "flags": ["WRONLY"]})
        finally:
            program.kill()
            program.wait()
        with open(path, "r+b"):
            try:
                subprocess.Popen([path, "0"]).wait()
                executing = "runs"
            except OSError as error:
                executing = errno.errorcode[error.errno]
        return [writing, executing]

    def do_limit(self, step):
        """Files may have so many bytes from now on; -1: as many as they like."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (step["size"], resource.RLIM_INFINITY))

    def do_links(self, step):
        """Adds names to a file until it fails, at most `count`."""
        path = self.path(step["path"])
        for i in range(step["count"]):
            try:
                os.link(path, path + b".%d" % i)
            except OSError as error:
                return [i, errno.errorcode[error.errno]]
        return step["count"]

    def do_listxattr(self, step):
        return sorted(os.listxattr(self.path(step["path"]), follow_symlinks=False))

    def do_removexattr(self, step):
        os.removexattr(self.path(step["path"]), step["name"], follow_symlinks=False)

    def do_fallocate(self, step):
        checked(libc.fallocate(self.fd(step["slot"]), step["mode"], step["at"], step["size"]))

    def do_seek(self, step):
        fd = self.fd(step["slot"])
        whence = step["whence"]
        if whence > os.SEEK_CUR and stat.S_ISDIR(os.fstat(fd).st_mode):
            # The end of a directory, and what a place in it is, are each file system's own affair.
            return "a directory"
        if whence not in (os.SEEK_DATA, os.SEEK_HOLE):
            return os.lseek(fd, step["at"], whence)
        # Where holes lie is each file system's own affair; that there is an answer is not. Nor whether
        # reserved blocks are data: ext4 says so once somebody has read them.
        try:
            os.lseek(fd, step["at"], whence)
        except OSError as error:
            size = os.fstat(fd).st_size
            if not (error.errno == errno.ENXIO and whence == os.SEEK_DATA and 0 <= step["at"] < size):
                raise
        os.lseek(fd, 0, os.SEEK_SET)
        return "found"

    def do_fsync(self, step):
        (os.fdatasync if step.get("data") else os.fsync)(self.fd(step["slot"]))

    def do_copy(self, step):
        source, target = self.fd(step["slot"]), self.fd(step["to"])
        if self.direct(source) or self.direct(target):
            return UNALIGNED
        # A short copy is allowed: callers go on.
        done = 0
        while done < step["size"]:
            at, to_at = step["at"] + done, step["toAt"] + done
            count = os.copy_file_range(source, target, step["size"] - done, at, to_at)
            if count == 0:
                break
            done += count
        return done

    def do_readdir(self, step):
        path = self.path(step["path"])
        return sorted([entry.name.decode("latin-1"), entry.is_dir(follow_symlinks=False), entry.is_symlink()]
                      for entry in os.scandir(path))

    def do_flock(self, step):
        kind = {"shared": fcntl.LOCK_SH, "exclusive": fcntl.LOCK_EX, "none": fcntl.LOCK_UN}[step["kind"]]
        fcntl.flock(self.fd(step["slot"]), kind | fcntl.LOCK_NB)

    def do_lock(self, step):
        kind = {"shared": fcntl.F_RDLCK, "exclusive": fcntl.F_WRLCK, "none": fcntl.F_UNLCK}[step["kind"]]
        lock = struct.pack("hhqqi4x", kind, 0, step["at"], step["size"], 0)
        fcntl.fcntl(self.fd(step["slot"]), F_OFD_SETLK, lock)

    def do_process_lock(self, step):
        """fcntl(2) locks belong to the process, and go with the first close of the file."""
        kind = {"shared": fcntl.F_RDLCK, "exclusive": fcntl.F_WRLCK, "none": fcntl.F_UNLCK}[step["kind"]]
        lock = struct.pack("hhqqi4x", kind, 0, step["at"], step["size"], 0)
        fcntl.fcntl(self.fd(step["slot"]), fcntl.F_SETLK, lock)

    def do_elsewhere(self, step):
        """The same in another process, which has the same files open."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writer, json.dumps(self.call(step["step"])).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as answer:
            result = answer.read()
        os.waitpid(child, 0)
        return json.loads(result)

    def do_access(self, step):
        return os.access(self.path(step["path"]), step["mode"])

    def do_statfs(self, step):
        volume = os.statvfs(self.path(step["path"]))
        sane = volume.f_bfree >= volume.f_bavail and volume.f_blocks >= volume.f_bfree > 0
        return [volume.f_namemax, volume.f_bsize, sane, volume.f_files >= volume.f_ffree > 0]

    def do_umask(self, step):
        os.umask(step["mask"])
