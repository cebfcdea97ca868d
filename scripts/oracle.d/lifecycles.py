"""Replays the calls of a strace log: descriptors, threads and processes, as the kernel saw them.

What a program's calls acquire and release is counted by kind. What libc does behind its own
functions is told from it by the stacks: a call that came through a function of libresshim.so passed
a hook; one that did not is `unseen`, under the name of the libc function (`ld.so`, `setlocale`, …)
that the program called. A descriptor that one such function opens and closes again is `transient`:
it never was the program's. The shim's own system calls are left out."""
import collections
import os
import re

from strace_log import Call, End

SHIM = "libresshim.so"
LIBC = re.compile(r"^(libc|libpthread|libdl|librt|libresolv|libnss_\w+|libanl)[.-]")
LOADER = re.compile(r"^ld-linux")
# Hooks that jump to the real function and leave no frame, or that make the system call themselves.
WITHOUT_FRAME = {"vfork", "__vfork", "fork", "execve", "execl", "execle", "execlp", "syscall"}

# Families of sockets. The link of one that was inherited says only that it is a socket, and so does resshim.
SOCKETS = {"tcp", "udp", "unix", "netlink", "socket"}

# Functions that wait for a child which they, or their counterpart, made: no process of the program's own.
WAIT_INSIDE = {"system", "pclose", "fclose"}

FILES = {"openat", "open", "creat", "openat2"}
ACQUIRE = FILES | {
    "pipe", "pipe2", "socket", "socketpair", "accept", "accept4", "epoll_create", "epoll_create1",
    "eventfd", "eventfd2", "timerfd_create", "signalfd", "signalfd4", "inotify_init", "inotify_init1",
    "memfd_create", "pidfd_open", "io_uring_setup", "mq_open"}
ALIAS = {"dup", "dup2", "dup3", "fcntl"}
OTHER = {"close", "close_range", "ioctl", "recvmsg"}
PROCESS = {"clone", "clone3", "fork", "vfork", "execve", "execveat", "wait4", "waitid", "exit", "exit_group"}
TRACED = ACQUIRE | ALIAS | OTHER | PROCESS

KIND = {"pipe": "pipe", "pipe2": "pipe", "epoll_create": "epoll", "epoll_create1": "epoll", "eventfd": "eventfd",
        "eventfd2": "eventfd", "timerfd_create": "timerfd", "signalfd": "signalfd", "signalfd4": "signalfd",
        "inotify_init": "inotify", "inotify_init1": "inotify", "memfd_create": "memfd",
        "pidfd_open": "pidfd", "io_uring_setup": "io_uring", "mq_open": "mqueue"}


class Descriptor:
    """One lifetime of a descriptor number in one process image."""

    def __init__(self, kind, cloexec, origin, tid, seen, inherited=False):
        self.kind, self.cloexec, self.origin, self.tid = kind, cloexec, origin, tid
        self.seen, self.inherited = seen, inherited

    def passed_on(self):
        return Descriptor(self.kind, self.cloexec, self.origin, 0, self.seen, inherited=True)


class Process:
    def __init__(self, pid, descriptors, before_exec=False):
        self.pid, self.descriptors, self.before_exec = pid, descriptors, before_exec
        # A fork child is an image of its own from its first acquisition on; what came by exec is one anyway.
        self.is_image = False
        # An image that came by exec and has done nothing that a hook tells leaves no region.
        self.is_silent = False


class Origin:
    """Who made a call: `function` of libc that was entered, and whether a hook was passed on the way."""

    def __init__(self, stack):
        names = [(os.path.basename(module), function) for module, function, _ in stack]
        at, self.function, loader_only = 0, "", True
        while at < len(names) and (LIBC.match(names[at][0]) or LOADER.match(names[at][0])):
            if not LOADER.match(names[at][0]):
                self.function, loader_only = names[at][1], False
            at += 1
        self.is_loader = at > 0 and loader_only
        self.hook = None
        self.is_own = bool(names) and names[0][0] == SHIM
        while at < len(names) and names[at][0] == SHIM:
            self.hook = names[at][1]
            at += 1
        if self.is_loader:
            self.function = "ld.so"
        elif not self.function:
            self.function = names[0][0] if names else "?"
        # Where libc ends without a caller, it is one of its own children (posix_spawn) or threads.
        self.is_internal = at >= len(names)

    @property
    def is_seen(self):
        return self.hook is not None or self.function in WITHOUT_FRAME


def kind_of(call, process):
    name, arguments = call.name, call.arguments
    if name in FILES:
        path, flags = (arguments[0], arguments[1:]) if name in ("open", "creat") else (arguments[1], arguments[2:])
        if any("O_DIRECTORY" in flag for flag in flags[:1]):
            return "dir"
        if re.match(r'^"/dev/(pts/|ptmx"|tty)', path):
            return "pty"
        return "file"
    if name in ("socket", "socketpair"):
        domain, sort = arguments[0], arguments[1].split("|")[0]
        if domain in ("AF_UNIX", "AF_LOCAL"):
            return "unix"
        if domain == "AF_NETLINK":
            return "netlink"
        if domain in ("AF_INET", "AF_INET6"):
            return {"SOCK_STREAM": "tcp", "SOCK_DGRAM": "udp"}.get(sort, "socket")
        return "socket"
    if name in ("accept", "accept4"):
        listener = process.descriptors.get(number(arguments[0]))
        if not listener:
            return "socket"
        # The peer's address tells the family, where the program asked for it.
        return "socket" if listener.inherited and arguments[1] == "NULL" else listener.kind
    return KIND[name]


def kind_of_link(target):
    """Kind of what a link in /proc/PID/fd points at."""
    for start, kind in (("socket:", "socket"), ("pipe:", "pipe"), ("/memfd:", "memfd"), ("/dev/pts/", "pty"),
                        ("anon_inode:[eventpoll]", "epoll"), ("anon_inode:[eventfd]", "eventfd"),
                        ("anon_inode:[timerfd]", "timerfd"), ("anon_inode:[signalfd]", "signalfd"),
                        ("anon_inode:inotify", "inotify"), ("anon_inode:[pidfd]", "pidfd")):
        if target.startswith(start):
            return kind
    return "pty" if target in ("/dev/ptmx", "/dev/tty") else "file"


def number(text):
    found = re.match(r"-?\d+", text)
    return int(found[0]) if found else -1


class Replay:
    """Counts; see the module. Every counter is by kind unless it says something else."""

    def __init__(self, events, first_descriptors=()):
        """`first_descriptors`: number → kind of what the first process was started with."""
        counters = ("acquired", "aliased", "released", "replaced", "inherited_released", "transient", "unseen",
                    "unseen_released", "given_up")
        for name in counters:
            setattr(self, name, collections.Counter())
        self.unseen_by = collections.Counter()     # (function, kind)
        self.transient_by = collections.Counter()  # (function, kind)
        self.failed = collections.Counter()  # (kind, errno)
        self.images = 0
        self.threads = self.children = self.reaped = 0
        self.inner_children = self.own_calls = 0
        self.ends = {}
        self._first = dict(first_descriptors)
        self._processes = {}
        self._clones = collections.defaultdict(list)
        self._run(events)

    def _run(self, events):
        steps = []
        for event in events:
            if isinstance(event, End):
                steps.append((event.began, event))
                continue
            if event.name in ("clone", "clone3", "fork", "vfork") and (event.result or 0) > 0:
                self._clones[event.result].append(event)
            # The kernel frees a number before the call ends: another thread may have it by then.
            frees = event.name in ("close", "close_range")
            steps.append((event.began if frees or not event.ended else event.ended, event))
        for _, event in sorted(steps, key=lambda step: step[0]):
            if isinstance(event, End):
                if (process := self._processes.pop(event.tid, None)) and process.pid == event.tid:
                    self.ends[event.tid] = event.how
                    self._give_up(process)
                continue
            process = self._process_of(event)
            origin = Origin(event.stack)
            if origin.is_own and event.name not in PROCESS:
                self.own_calls += 1
                continue
            getattr(self, "_on_" + self._handler(event.name))(event, process, origin)

    @staticmethod
    def _handler(name):
        if name in ACQUIRE:
            return "acquire"
        if name in ALIAS or name in OTHER:
            return name
        if name in ("clone", "clone3", "fork", "vfork"):
            return "clone"
        return {"execve": "exec", "execveat": "exec", "wait4": "wait", "waitid": "wait"}.get(name, "end")

    def _process_of(self, event):
        """The process of a thread; one that is met for the first time is what its creator's call said."""
        if event.tid in self._processes:
            return self._processes[event.tid]
        if not self._clones.get(event.tid):
            started_with = {n: Descriptor(kind, False, "", 0, False, inherited=True) for n, kind in self._first.items()}
            process = Process(event.tid, started_with)
        else:
            process = self._begin(self._clones[event.tid].pop(0))
        self._processes[event.tid] = process
        return process

    def _begin(self, clone):
        parent = self._process_of(clone)
        if "CLONE_THREAD" in clone.text:
            return parent
        is_vfork = clone.name == "vfork" or "CLONE_VFORK" in clone.text
        copies = {n: d.passed_on() for n, d in parent.descriptors.items()}
        return Process(clone.result, copies, before_exec=is_vfork)

    def _image(self, process):
        self.images += 1
        process.is_image = True

    def _give_up(self, process):
        """What a silent image was given counts as released: resshim cannot know how long it was kept."""
        if not process.is_silent:
            return
        for fd, descriptor in process.descriptors.items():
            if descriptor.seen and not descriptor.inherited:
                self.released[descriptor.kind] += 1
                self.given_up[descriptor.kind] += 1
                process.descriptors[fd] = descriptor.passed_on()

    def _event(self, process):
        process.is_silent = False
        if not process.is_image:
            self._image(process)

    def _add(self, process, fd, descriptor, alias=False):
        if fd in process.descriptors:
            self._remove(process, fd, descriptor.origin, descriptor.tid, replaced=True)
        process.descriptors[fd] = descriptor
        if process.before_exec:
            return
        if not descriptor.seen:
            self.unseen[descriptor.kind] += 1
            self.unseen_by[descriptor.origin, descriptor.kind] += 1
        else:
            self._event(process)
            (self.aliased if alias else self.acquired)[descriptor.kind] += 1

    def _remove(self, process, fd, function, tid, replaced=False, seen=True):
        descriptor = process.descriptors.pop(fd, None)
        if descriptor is None or process.before_exec:
            return
        kind = descriptor.kind
        within = function not in WITHOUT_FRAME and descriptor.origin == function
        if not replaced and within and descriptor.tid == tid:
            self.transient[kind] += 1
            self.transient_by[function, kind] += 1
            if descriptor.seen:
                self.acquired[kind] -= 1
            else:
                self.unseen[kind] -= 1
                self.unseen_by[function, kind] -= 1
        elif not descriptor.seen:
            self.unseen_released[kind] += 1
        elif not seen:
            self.unseen_by[f"{function} (release)", kind] += 1
        elif descriptor.inherited:
            self.inherited_released[kind] += 1
        else:
            (self.replaced if replaced else self.released)[kind] += 1

    def _on_acquire(self, call, process, origin):
        kind = kind_of(call, process)
        if call.result is None or call.result < 0:
            if origin.is_seen and call.errno:
                process.is_silent = False
                self.failed[kind, call.errno] += 1
            return
        if call.name in ("signalfd", "signalfd4") and number(call.arguments[0]) >= 0:
            return  # changes the mask of an existing one
        fds = [call.result]
        if call.name in ("pipe", "pipe2", "socketpair"):
            pair = call.arguments[0] if call.name != "socketpair" else call.arguments[3]
            fds = [int(text) for text in re.findall(r"\d+", pair)[:2]]
        for fd in fds:
            self._add(process, fd, Descriptor(kind, "CLOEXEC" in call.text, origin.function, call.tid, origin.is_seen))

    def _alias(self, call, process, origin, source, target, cloexec):
        old = process.descriptors.get(source)
        kind = old.kind if old else "?"
        if old and old.inherited and kind in SOCKETS:
            kind = "socket"
        if target != source:
            self._add(process, target, Descriptor(kind, cloexec, origin.function, call.tid, origin.is_seen), alias=True)

    def _on_dup(self, call, process, origin):
        if call.result is not None and call.result >= 0:
            self._alias(call, process, origin, number(call.arguments[0]), call.result, "CLOEXEC" in call.text)

    _on_dup2 = _on_dup3 = _on_dup

    def _on_fcntl(self, call, process, origin):
        arguments = call.arguments
        if call.result is None or call.result < 0 or len(arguments) < 2:
            return
        if arguments[1].startswith("F_DUPFD"):
            self._on_dup(call, process, origin)
        elif arguments[1] == "F_SETFD" and (descriptor := process.descriptors.get(number(arguments[0]))):
            cloexec = "FD_CLOEXEC" in arguments[2]
            if origin.is_seen and not process.before_exec and (descriptor.inherited or descriptor.cloexec != cloexec):
                self._event(process)
            descriptor.cloexec = cloexec

    def _on_ioctl(self, call, process, origin):
        arguments = call.arguments
        if arguments[1] == "TIOCGPTPEER" and call.result is not None and call.result >= 0:
            descriptor = Descriptor("pty", "CLOEXEC" in call.text, origin.function, call.tid, origin.is_seen)
            self._add(process, call.result, descriptor)
        if call.result == 0 and arguments[1] in ("FIOCLEX", "FIONCLEX"):
            if descriptor := process.descriptors.get(number(arguments[0])):
                descriptor.cloexec = arguments[1] == "FIOCLEX"

    def _on_recvmsg(self, call, process, origin):
        if call.result is None or call.result < 0:
            return
        for rights in re.findall(r"cmsg_type=SCM_RIGHTS, cmsg_data=\[([\d, ]*)\]", call.text):
            for fd in map(int, rights.replace(" ", "").split(",")):
                self._add(process, fd, Descriptor("?", "CMSG_CLOEXEC" in call.text, "recvmsg", call.tid, origin.is_seen))

    def _on_close(self, call, process, origin):
        if call.errno != "EBADF":
            self._remove(process, number(call.arguments[0]), origin.function, call.tid, seen=origin.is_seen)

    def _on_close_range(self, call, process, origin):
        first, last = (int(re.match(r"\d+", text)[0]) for text in call.arguments[:2])
        if call.result != 0:
            return
        for fd in [fd for fd in process.descriptors if first <= fd <= last]:
            if "CLOEXEC" in call.text:
                process.descriptors[fd].cloexec = True
            else:
                self._remove(process, fd, origin.function, call.tid, seen=origin.is_seen)

    def _on_clone(self, call, process, origin):
        if call.result is None or call.result <= 0:
            return
        # Here its descriptors are copied, unless it has run before its creator came back.
        if call in self._clones[call.result]:
            self._clones[call.result].remove(call)
            self._processes[call.result] = self._begin(call)
        if "CLONE_THREAD" in call.text:
            if origin.hook or origin.is_internal:
                self.threads += 1
        elif not process.before_exec:
            self._event(process)
            self.children += 1

    def _on_exec(self, call, process, _):
        if call.result != 0:
            return
        self._give_up(process)
        self._image(process)
        for descriptor in process.descriptors.values():
            if descriptor.cloexec and descriptor.seen and not descriptor.inherited and not process.before_exec:
                self.released[descriptor.kind] += 1
        kept = {n: d for n, d in process.descriptors.items() if not d.cloexec}
        # What this process acquired itself stays its own, and may be released by a later image of it;
        # what a vfork child arranged before its exec is what the new image was started with.
        process.descriptors = {n: d.passed_on() for n, d in kept.items()} if process.before_exec else kept
        process.before_exec, process.is_silent = False, True

    def _on_wait(self, call, process, origin):
        pid = call.result or 0
        if call.name == "waitid":
            found = re.search(r"si_pid=(\d+)", call.text)
            pid = int(found[1]) if found and call.result == 0 and "WNOWAIT" not in call.text else 0
        if pid <= 0 or process.before_exec:
            return
        if origin.hook in WAIT_INSIDE or origin.function in WAIT_INSIDE:
            self.children -= 1
            self.inner_children += 1
        else:
            self.reaped += 1

    def _on_end(self, call, process, origin):
        """The end of a thread closes nothing that others could still see; that of a process is not a release."""
