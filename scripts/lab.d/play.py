"""Builds a program and plays it: START, the line it waits for, DONE and its own account, and the end."""
import json
import os
import pathlib
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time


class Failed(Exception):
    """The program did not do what the README says; one line."""


def words(template, program, out, seed):
    """A command of the label as words. `python3` is the one that runs this: no wrapper script is traced instead of it."""
    filled = [word.replace("{out}", str(out)).replace("{dir}", str(program.path)).replace("{seed}", str(seed))
              for word in shlex.split(template)]
    if filled[0] == "python3":
        filled[0] = sys.executable
    return filled


def build(program, place):
    """What the program runs, made again when its sources have changed."""
    out, stamp = place / program.name / "out", place / program.name / "built"
    digest = program.digest()
    if not program.build or stamp.exists() and stamp.read_text() == digest:
        return out
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir(parents=True)
    if program.language == "java":
        out.mkdir()
    command = words(program.build, program, out, "")
    if not shutil.which(command[0]):
        raise Failed(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=out.parent)
    if done.returncode != 0:
        raise Failed(f"does not build:\n{done.stderr.strip() or done.stdout.strip()}")
    stamp.write_text(digest)
    return out


def account(program, lines):
    """The program's own account by site, from its lines after DONE."""
    told = {}
    for line in lines:
        try:
            row = json.loads(line)
            site = next(one for one in program.sites if one.name == row["site"])
            numbers = ["acquired", "live", "leaked"] + (["bytes"] if site.with_bytes else [])
            if any(not isinstance(row[key], int) or row[key] < 0 for key in numbers):
                raise ValueError
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise Failed(f"after DONE: {line[:120]!r} is no account of a site") from error
        if not row["leaked"] <= row["live"] <= row["acquired"]:
            raise Failed(f"site {site.name}: not leaked <= live <= acquired: {line}")
        if row["leaked"] and not site.leaks:
            raise Failed(f"site {site.name} is clean and has {row['leaked']} leaked")
        told[site.name] = {key: row[key] for key in numbers}
    if missing := [one.name for one in program.sites if one.name not in told]:
        raise Failed(f"after DONE: nothing was said of {', '.join(missing)}")
    return told


class Play:
    """One run. The whole session of the program is killed at the end: what it leaked may be processes."""

    def __init__(self, program, command, work, env=None):
        self.program, self.limit = program, program.seconds * 3 + 60
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        self.errors = work.parent / f"{work.name}.stderr"
        self.rest = b""
        if not shutil.which(command[0]):
            raise Failed(f"{command[0]} is not installed")
        with open(self.errors, "wb") as errors:
            self.child = subprocess.Popen(command, cwd=work, env={**os.environ, **(env or {})}, stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=errors, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()

    @property
    def pid(self):
        return self.child.pid

    def line(self, limit, waiting_for):
        until = time.monotonic() + limit
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.child.stdout], [], [], max(0, until - time.monotonic()))
            if not ready:
                raise Failed(f"no {waiting_for} within {limit:.0f} s")
            got = os.read(self.child.stdout.fileno(), 65536)
            if not got:
                raise Failed(f"ended before {waiting_for}: {self.last_words()}")
            self.rest += got
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode(errors="replace").strip()

    def last_words(self):
        text = pathlib.Path(self.errors).read_text(errors="replace").strip().splitlines()
        return text[-1] if text else f"status {self.child.poll()}"

    def tell(self):
        try:
            self.child.stdin.write(b"\n")
            self.child.stdin.flush()
        except BrokenPipeError as error:
            raise Failed(f"ended before it was told to go on: {self.last_words()}") from error

    def until_start(self):
        if (line := self.line(60, "START")) != "START":
            raise Failed(f"{line[:120]!r} instead of START")
        self.began = time.monotonic()

    def work(self):
        """Lets it work; its account by site, and the seconds it took."""
        self.tell()
        if (line := self.line(self.limit, "DONE")) != "DONE":
            raise Failed(f"{line[:120]!r} instead of DONE")
        seconds = time.monotonic() - self.began
        told = account(self.program, [self.line(20, "a line for each site") for _ in self.program.sites])
        return told, seconds

    def end(self):
        """Lets it end; its exit status."""
        self.tell()
        try:
            status = self.child.wait(60)
        except subprocess.TimeoutExpired as error:
            raise Failed("did not end within 60 s of the second line") from error
        if status != 0:
            raise Failed(f"ended with status {status}: {self.last_words()}")
        return status
