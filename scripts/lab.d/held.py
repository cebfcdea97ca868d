"""What a process holds now, by kind, as the kernel tells it in `/proc`. Nothing of resshim is asked."""
import os
import re
import stat

from label import DESCRIPTORS

ANONYMOUS = {"[eventpoll]": "epoll", "[eventfd]": "eventfd", "[timerfd]": "timerfd", "[signalfd]": "signalfd",
             "inotify": "inotify", "[pidfd]": "pidfd", "[io_uring]": "io_uring"}
PROTOCOLS = {"TCP": "tcp", "TCPv6": "tcp", "UDP": "udp", "UDPv6": "udp", "UNIX": "unix", "UNIX-STREAM": "unix",
             "UNIX-DGRAM": "unix", "NETLINK": "netlink"}
# Threads that a JVM begins and ends as it likes.
OF_THE_JVM = re.compile(r"^(C[12] Comp|GC Thread|G1 |VM |Sweeper|Attach Lis|Common-Clea|Service Thr|Monitor Defl|"
                        r"Signal Disp|Finalizer|Reference Han|Notification|Cleaner-)")
MAPPED = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) *(.*)$")


def kind_of_link(link, mode, protocol=None):
    """The kind of a descriptor from its link in /proc, the mode of what it is open on, and a socket's protocol."""
    if link.startswith("socket:"):
        return PROTOCOLS.get(protocol, "socket")
    if link.startswith("pipe:"):
        return "pipe"
    if link.startswith("anon_inode:"):
        return ANONYMOUS.get(link.removeprefix("anon_inode:"), "file")
    if link.startswith("/memfd:"):
        return "memfd"
    if link.startswith("/dev/shm/"):
        return "shm"
    if link.startswith("/dev/pts/") or link in ("/dev/ptmx", "/dev/pts/ptmx"):
        return "pty"
    if stat.S_ISDIR(mode):
        return "dir"
    return "fifo" if stat.S_ISFIFO(mode) else "file"


def descriptors(pid):
    counts = {}
    place = f"/proc/{pid}/fd"
    for number in os.listdir(place):
        path = f"{place}/{number}"
        try:
            link, mode, protocol = os.readlink(path), os.stat(path).st_mode, None
            if link.startswith("socket:"):
                protocol = os.getxattr(path, "system.sockprotoname").rstrip(b"\0").decode()
        except FileNotFoundError:
            continue
        kind = kind_of_link(link, mode, protocol)
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def parents():
    """Of each process of the machine, its parent."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                found[int(name)] = int(file.read().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def family(pid, parent_of):
    """The process and its descendants that still run."""
    all_of_them, new = [pid], [pid]
    while new:
        new = [child for child, parent in parent_of.items() if parent in new]
        all_of_them += new
    return all_of_them


def threads(pid):
    count = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8", errors="replace") as file:
                count += not OF_THE_JVM.match(file.read())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return count


def mapped(pid):
    """Bytes of its mappings that can be used; those that only reserve addresses are none."""
    total = 0
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            begin, end, permissions, _, path = MAPPED.match(line).groups()
            if path != "[heap]" and not permissions.startswith("---"):
                total += int(end, 16) - int(begin, 16)
    return total


def touched(pid):
    """Bytes of memory of its own that it has written to."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def now(pid, tree=False):
    """Counts by kind, and `mapping bytes` and `heap bytes`; of its descendants, too, for a program that is a tree."""
    parent_of = parents()
    total = dict.fromkeys((*DESCRIPTORS, "thread", "process", "mapping bytes", "heap bytes"), 0)
    for one in family(pid, parent_of) if tree else [pid]:
        try:
            counts = descriptors(one)
            counts |= {"thread": threads(one), "mapping bytes": mapped(one), "heap bytes": touched(one)}
        except (FileNotFoundError, ProcessLookupError):
            if one == pid:
                raise
            continue
        counts["process"] = sum(parent == one for parent in parent_of.values())
        for kind, count in counts.items():
            total[kind] += count
    return total
