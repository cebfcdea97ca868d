"""What a program of the lab says of itself: `label.toml`, and where in its sources the LAB comments are.

Reads only; a label that the README does not allow is a `BadLabel` with one line that says why."""
import hashlib
import pathlib
import re
import tomllib
from dataclasses import dataclass, field

HALVES = ("calibration", "scored")
LANGUAGES = ("c", "cpp", "rust", "python", "node", "java")
DESCRIPTORS = ("file", "dir", "pipe", "fifo", "tcp", "udp", "unix", "netlink", "socket", "epoll", "eventfd", "timerfd",
               "signalfd", "inotify", "memfd", "pidfd", "io_uring", "pty", "mqueue", "shm")
KINDS = (*DESCRIPTORS, "thread", "process", "mapping", "heap")
# Where a site's line says how many bytes its live ones are.
WITH_BYTES = ("mapping", "heap")
MARK = re.compile(r"\bLAB:([A-Za-z0-9_]+)")


class BadLabel(Exception):
    """One line: the program, and what is wrong."""


@dataclass(frozen=True)
class Site:
    name: str
    function: str
    kind: str
    leaks: bool
    words: str  # its rate, or why it is none
    file: str  # of the LAB comment, without its directory
    line: int
    rare: bool = False
    ended: bool = False

    @property
    def with_bytes(self):
        return self.kind in WITH_BYTES or self.ended


@dataclass(frozen=True)
class Program:
    name: str
    half: str
    path: pathlib.Path
    about: str
    language: str
    shape: str
    build: str
    run: str
    seconds: float
    time_factor: float
    tree: bool
    sites: tuple = field(default=())

    @property
    def sources(self):
        """Names of its files, as frames of a report call them."""
        return {path.name for path in self.files()} - {"label.toml"}

    def files(self):
        return sorted(path for path in self.path.rglob("*") if path.is_file())

    def digest(self):
        """Another one as soon as a byte of the program changes: a proof holds for what was proven."""
        digest = hashlib.sha256()
        for path in self.files():
            digest.update(str(path.relative_to(self.path)).encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()

    def leaky(self):
        return any(site.leaks for site in self.sites)


def taken(table, key, kind, default=None):
    """The value of a key, removed from the table, so that what is left was misspelt."""
    value = table.pop(key, default)
    if value is None:
        raise ValueError(f"{key} is missing")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind):
        raise ValueError(f"{key} = {value!r} is no {kind.__name__}")
    return value


def one_of(table, key, words):
    value = taken(table, key, str)
    if value not in words:
        raise ValueError(f"{key} = {value!r}: one of {', '.join(words)}")
    return value


def nothing_left(table, where):
    if table:
        raise ValueError(f"{where}{', '.join(sorted(table))}: no such key")


def marks(texts):
    """Where each LAB comment is, from (file, text): name -> (file, line)."""
    found = {}
    for file, text in texts:
        for number, line in enumerate(text.splitlines(), 1):
            for name in MARK.findall(line):
                if name in found:
                    raise ValueError(f"LAB:{name} is in two lines: {found[name][0]}:{found[name][1]} and {file}:{number}")
                found[name] = (file, number)
    return found


def site(table, where):
    name = taken(table, "name", str)
    try:
        kind, leaks = one_of(table, "kind", KINDS), taken(table, "leaks", bool)
        words = taken(table, "rate" if leaks else "why", str)
        rare, ended = taken(table, "rare", bool, False), taken(table, "ended", bool, False)
        function = taken(table, "function", str)
        nothing_left(table, "")
        if ended and kind != "thread":
            raise ValueError("ended is for threads")
        if rare and not leaks:
            raise ValueError("rare is for sites that leak")
    except ValueError as error:
        raise ValueError(f"site {name}: {error}") from error
    if name not in where:
        raise ValueError(f"site {name}: no line has the comment LAB:{name}")
    return Site(name, function, kind, leaks, words, *where[name], rare, ended)


def parse(name, half, path, text, texts):
    """A program from the text of its label and the (file, text) of its sources."""
    try:
        table = tomllib.loads(text)
        where = marks(texts)
        tables = taken(table, "site", list)
        program = Program(
            name, half, path, taken(table, "about", str), one_of(table, "language", LANGUAGES),
            one_of(table, "shape", ("service", "batch")), taken(table, "build", str, ""), taken(table, "run", str),
            taken(table, "seconds", float), taken(table, "time_factor", float), taken(table, "tree", bool, False),
            tuple(site(dict(one), where) for one in tables))
        nothing_left(table, "")
        names = [one.name for one in program.sites]
        if len(set(names)) < len(names):
            raise ValueError("two sites have one name")
        places = [(one.function, one.kind) for one in program.sites]
        if len(set(places)) < len(places):
            raise ValueError("two sites of one kind are in one function: no report could tell them apart")
        if unknown := set(where) - set(names):
            raise ValueError(f"LAB:{min(unknown)} is no site of the label")
        return program
    except (ValueError, tomllib.TOMLDecodeError) as error:
        raise BadLabel(f"{half}/{name}/label.toml: {error}") from error


def read(path):
    """The program in a directory."""
    try:
        text = (path / "label.toml").read_text()
        sources = [file for file in sorted(path.rglob("*")) if file.is_file() and file.name != "label.toml"]
        texts = [(file.name, file.read_text()) for file in sources]
    except (OSError, UnicodeDecodeError) as error:
        raise BadLabel(f"{path.parent.name}/{path.name}: {error}") from error
    return parse(path.name, path.parent.name, path, text, texts)


def find(lab, names=(), half=None):
    """The programs that are meant: all of a half, or those that are named. `BadLabel` for one that is not there."""
    places = [path for one in HALVES if half in (None, one) for path in sorted((lab / one).glob("*")) if path.is_dir()]
    known = {path.name: path for path in places}
    for name in names:
        if name not in known:
            raise BadLabel(f"there is no program {name!r}" + (f" in {half}" if half else "") + "; scripts/lab list names them")
    return [read(path) for path in places if not names or path.name in names]
