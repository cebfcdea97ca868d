"""Reads the log of `strace -f -k -o FILE`: calls with thread, arguments, result and stack.

A call that strace printed in two halves (`<unfinished ...>`, `<... NAME resumed>`) is put together
again; `began` and `ended` are the numbers of its lines, so that calls of several threads can be
replayed in the order in which the kernel began or ended them."""
import dataclasses
import re

_LINE = re.compile(r"^(\d+) +(.*)$")
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)$")
_RESULT = re.compile(r"\) += (-?\d+|0x[0-9a-f]+|\?)(?: ([A-Z][A-Z0-9_]+))?[^=]*$")
_FRAME = re.compile(r"^ > (\S+?)(?: \(deleted\))?\((?:(.*)\+0x[0-9a-f]+)?\) \[0x([0-9a-f]+)\]")
_ENDED = re.compile(r"^\+\+\+ (exited with (\d+)|killed by (\w+)).* \+\+\+$")
_SUPERSEDED = re.compile(r"^\+\+\+ superseded by execve in pid (\d+) \+\+\+$")


@dataclasses.dataclass
class Call:
    """One system call; `result` is None where strace saw no end (exit, kill)."""
    tid: int
    name: str
    text: str
    began: int
    ended: int = 0
    result: int | None = None
    errno: str | None = None
    stack: list = dataclasses.field(default_factory=list)

    @property
    def arguments(self):
        return split_arguments(self.text)


@dataclasses.dataclass
class End:
    """A thread is gone: `how` is `exit:N` or `signal:NAME`."""
    tid: int
    how: str
    began: int


def split_arguments(text):
    """Splits at the commas of the outermost level; knows strings and brackets."""
    parts, depth, start, quoted, skip = [], 0, 0, False, False
    for at, character in enumerate(text):
        if skip:
            skip = False
        elif quoted:
            skip = character == "\\"
            quoted = character != '"'
        elif character == '"':
            quoted = True
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    rest = text[start:].strip()
    return parts + [rest] if rest or parts else []


def _finish(call, text, line):
    found = _RESULT.search(text)
    call.text += text[:found.start()] if found else text
    call.ended = line
    if found and found[1] != "?":
        call.result = int(found[1], 0)
        call.errno = found[2] if call.result < 0 else None


def read(path):
    """All calls and ends of threads in the log, in the order in which they began."""
    events, open_calls, last = [], {}, None
    with open(path, encoding="utf-8", errors="surrogateescape") as log:
        for number, line in enumerate(log, 1):
            line = line.rstrip("\n")
            if line.startswith(" > "):
                frame = _FRAME.match(line)
                if frame and last is not None:
                    last.stack.append((frame[1], frame[2] or "", int(frame[3], 16)))
                continue
            outer = _LINE.match(line)
            if not outer:
                continue
            tid, body = int(outer[1]), outer[2]
            if gone := _SUPERSEDED.match(body):
                # The thread goes on under the number of its group's first thread.
                if call := open_calls.pop(int(gone[1]), None):
                    call.tid = tid
                    open_calls[tid] = call
            elif gone := _ENDED.match(body):
                open_calls.pop(tid, None)
                how = f"exit:{gone[2]}" if gone[2] else f"signal:{gone[3]}"
                events.append(End(tid, how, number))
                last = None
            elif half := _RESUMED.match(body):
                last = open_calls.pop(tid, None)
                if last is not None:
                    _finish(last, half[2], number)
            elif whole := _CALL.match(body):
                last = Call(tid, whole[1], "", number)
                events.append(last)
                if whole[2].endswith("<unfinished ...>"):
                    last.text = whole[2].removesuffix("<unfinished ...>").rstrip()
                    open_calls[tid] = last
                else:
                    _finish(last, whole[2], number)
    return events
