"""
File handles (name_to_handle_at(2), open_by_handle_at(2)), which Python does not know.

    file_handles.py name PATH             prints the handle of PATH
    file_handles.py read MOUNT HANDLE     prints what the file behind it holds
    file_handles.py list MOUNT HANDLE     prints the names in the directory behind it

An error is printed as its symbol.
"""
import ctypes
import errno
import os
import sys

AT_FDCWD = -100
MAX_HANDLE_BYTES = 128
libc = ctypes.CDLL(None, use_errno=True)


class Handle(ctypes.Structure):
    _fields_ = [
        ("bytes", ctypes.c_uint),
        ("type", ctypes.c_int),
        ("data", ctypes.c_ubyte * MAX_HANDLE_BYTES),
    ]


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def name(path):
    handle = Handle(bytes=MAX_HANDLE_BYTES)
    mount = ctypes.c_int()
    pointers = ctypes.byref(handle), ctypes.byref(mount)
    checked(libc.name_to_handle_at(AT_FDCWD, os.fsencode(path), *pointers, 0))
    return f"{handle.type}:{bytes(handle.data[:handle.bytes]).hex()}"


def opened(mount, text):
    kind, data = text.split(":")
    data = bytes.fromhex(data)
    handle = Handle(len(data), int(kind), (ctypes.c_ubyte * MAX_HANDLE_BYTES)(*data))
    at = os.open(mount, os.O_RDONLY)
    return checked(libc.open_by_handle_at(at, ctypes.byref(handle), os.O_RDONLY))


def main(what, *args):
    try:
        if what == "name":
            print(name(*args))
        elif what == "read":
            print(os.read(opened(*args), 1 << 20).decode(), end="")
        else:
            print(*sorted(os.listdir(opened(*args))))
    except OSError as error:
        print(errno.errorcode[error.errno])


main(*sys.argv[1:])
