"""Proves a label: what the process holds more at DONE than at START is what the program says is live."""
import json
import time

import held
import play
from label import DESCRIPTORS

STACK = 8 << 20
# Bytes are proven from below for everyone, from above where no runtime has a heap of its own.
SLACK = {"heap bytes": 24 << 20, "mapping bytes": 96 << 20}
UNMANAGED = ("c", "cpp", "rust")


def claims(program, told):
    """What must have grown by how much: exact counts, and at least these bytes."""
    exact = dict.fromkeys((*DESCRIPTORS, "thread", "process"), 0)
    least = dict.fromkeys(SLACK, 0)
    for site in program.sites:
        row = told[site.name]
        if site.with_bytes:
            least["heap bytes" if site.kind == "heap" else "mapping bytes"] += row["bytes"]
        else:
            exact[site.kind] += row["live"]
    return exact, least


def disagreements(program, told, before, after):
    """One sentence a kind that does not hold; empty = proven."""
    exact, least = claims(program, told)
    grown = {kind: after[kind] - before[kind] for kind in after}
    wrong = [f"{kind}: {grown[kind]} more are held, {claimed} are said to be live"
             for kind, claimed in exact.items() if grown[kind] != claimed]
    grown["mapping bytes"] -= max(0, grown["thread"]) * STACK
    for what, claimed in least.items():
        if claimed and grown[what] < claimed * 0.95:
            wrong.append(f"{what}: {grown[what]} more are held, {claimed} are said to be live")
        elif program.language in UNMANAGED and grown[what] > claimed * 2 + SLACK[what]:
            wrong.append(f"{what}: {grown[what]} more are held, only {claimed} are said to be live")
    return wrong


def too_few(program, told):
    """Leaks that no report could be asked for: a label that says it leaks must."""
    return [f"{site.name}: {told[site.name]['leaked']} leaked, at least {1 if site.rare else 30} are wanted"
            for site in program.sites if site.leaks and told[site.name]["leaked"] < (1 if site.rare else 30)]


def settled(pid, tree):
    """What it holds when two looks agree: a thread that has just ended may be counted by the first."""
    for _ in range(20):
        first = held.now(pid, tree)
        time.sleep(0.1)
        second = held.now(pid, tree)
        if all(first[kind] == second[kind] for kind in (*DESCRIPTORS, "thread", "process")):
            break
    return second


def prove(program, seed, place):
    """Runs it without resshim; its account and the seconds it took, or `Failed`."""
    out = play.build(program, place / "build")
    command = play.words(program.run, program, out, seed)
    with play.Play(program, command, place / "work" / f"{program.name}.{seed}.prove") as playing:
        playing.until_start()
        before = settled(playing.pid, program.tree)
        told, seconds = playing.work()
        for _ in range(5):  # what was closed may need a moment to be gone
            wrong = disagreements(program, told, before, settled(playing.pid, program.tree))
            if not wrong:
                break
        wrong += too_few(program, told)
        if wrong:
            raise play.Failed("; ".join(wrong))
        playing.end()
    return told, seconds


class Proofs:
    """Which sources were proven with which seeds, in `proven.json`."""

    def __init__(self, place):
        self.file = place / "proven.json"
        self.known = json.loads(self.file.read_text()) if self.file.exists() else {}

    def has(self, program):
        return self.known.get(program.name, {}).get("digest") == program.digest()

    def add(self, program, seed, told):
        row = self.known.get(program.name, {})
        if row.get("digest") != program.digest():
            row = {"digest": program.digest(), "seeds": {}}
        row["seeds"][str(seed)] = told
        self.known[program.name] = row
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.known, indent=1))

    def drop(self, program):
        self.known.pop(program.name, None)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.known, indent=1))
