"""The command line of `scripts/lab`: which programs, which runs, in which order."""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import label
import play
import prove
import score

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LAB = ROOT / "tests" / "lab"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
HELP = """The leak lab: programs whose leaks are known (tests/lab/README.md).

    scripts/lab list                                   the programs and their sites
    scripts/lab prove [NAME...]                        run without resshim, hold the labels against /proc
    scripts/lab run --half calibration --seeds 2       run under resshim, score
    scripts/lab run --preload --seeds 1 NAME           the same with a bare preload
    scripts/lab score --half calibration               score the traces of the last run again

`run` proves first what is not proven yet and leaves out what cannot be. Everything is below target/lab:
score.json, traces/NAME.SEED, reports/NAME.SEED.json. Ends with 1 if a label could not be proven or a run
failed (with --strict: or anything was missed or false), with 2 for a program that is not there or a label that cannot be read."""


def options():
    parser = argparse.ArgumentParser(prog="scripts/lab", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list | prove | run | score")
    for verb in ("list", "prove", "run", "score"):
        one = verbs.add_parser(verb, description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
        one.add_argument("--half", choices=label.HALVES)
        one.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 1 to N (1)")
        one.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), metavar="J",
                         help="runs at a time, begun only while a processor is idle (twice the processors: programs mostly wait)")
        one.add_argument("--strict", action="store_true", help="end with 1 where anything is missed, accused or of no site")
        one.add_argument("--preload", action="store_true", help="a bare LD_PRELOAD in place of `resshim run`")
        one.add_argument("--cli", default=str(TARGET / "debug" / "resshim"), help="the resshim to use")
        one.add_argument("--lib", default=str(TARGET / "debug" / "libresshim.so"), help="the libresshim.so to use")
        one.add_argument("--place", type=pathlib.Path, default=TARGET / "lab", help=argparse.SUPPRESS)
        one.add_argument("--programs", type=pathlib.Path, default=LAB, help=argparse.SUPPRESS)
        one.add_argument("names", nargs="*", metavar="NAME")
    return parser.parse_args()


class Gate:
    """Lets one run begin at a time, while the processors are not all busy."""

    def __init__(self):
        self.lock, self.running = threading.Lock(), 0

    @staticmethod
    def ticks():
        with open("/proc/stat", encoding="ascii") as file:
            numbers = [int(word) for word in file.readline().split()[1:]]
        return numbers[3] + numbers[4], sum(numbers[:8])

    def enter(self):
        with self.lock:
            for _ in range(16):
                idle, total = self.ticks()
                time.sleep(0.5)
                idle_now, total_now = self.ticks()
                if not self.running or (idle_now - idle) > 0.15 * (total_now - total):
                    break
            self.running += 1

    def leave(self):
        self.running -= 1


def each(jobs, options, one):
    """(job, result or Failed) as they end; neighbours are different programs, so that no two seeds of one begin together."""
    gate = Gate()

    def guarded(job):
        gate.enter()
        try:
            return job, one(*job)
        except play.Failed as error:
            return job, error
        finally:
            gate.leave()

    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        yield from pool.map(guarded, jobs)


def jobs(programs, seeds):
    return [(program, seed) for seed in range(1, seeds + 1) for program in programs]


def do_list(programs):
    for program in programs:
        print(f"{program.half}/{program.name} ({program.language}, {program.shape}, {program.seconds:.0f} s): {program.about}")
        for site in program.sites:
            print(f"    {'LEAKS' if site.leaks else 'clean'} {site.kind:9} {site.file}:{site.line} {site.function}: {site.words}")
    return 0


def do_prove(programs, options):
    proofs, bad = prove.Proofs(options.place), 0
    for (program, seed), result in each(jobs(programs, options.seeds), options, lambda program, seed: prove.prove(program, seed, options.place)):
        if isinstance(result, play.Failed):
            bad += 1
            proofs.drop(program)
            print(f"NOT PROVEN {program.name} seed {seed}: {result}", flush=True)
        else:
            told, seconds = result
            proofs.add(program, seed, told)
            sites = ", ".join(f"{name} {row['leaked']}/{row['live']}/{row['acquired']}" for name, row in told.items())
            print(f"proven {program.name} seed {seed}, {seconds:.0f} s; leaked/live/acquired: {sites}", flush=True)
    return 1 if bad else 0


def reported(options, trace):
    done = subprocess.run([options.cli, "report", "--format", "json", str(trace)], capture_output=True, check=False)
    if done.returncode != 0:
        raise play.Failed(f"resshim report ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()[:300]}")
    return json.loads(done.stdout)


def name_of(program, seed, options):
    return f"{program.name}.{seed}" + (".preload" if options.preload else "")


def run_one(program, seed, options):
    """One run under resshim; what the program says of itself, kept beside its trace."""
    name = name_of(program, seed, options)
    trace = options.place / "traces" / name
    shutil.rmtree(trace, ignore_errors=True)
    trace.parent.mkdir(parents=True, exist_ok=True)
    command = play.words(program.run, program, play.build(program, options.place / "build"), seed)
    env = {"RESSHIM_LIB": options.lib}
    if options.preload:
        trace.mkdir(mode=0o700)
        env |= {"LD_PRELOAD": options.lib, "RESSHIM_OUT": str(trace)}
    else:
        command = [options.cli, "run", "--report", "none", "-o", str(trace), "--", *command]
    with play.Play(program, command, options.place / "work" / name, env) as playing:
        playing.until_start()
        told, _ = playing.work()
        playing.end()
    trace.with_suffix(trace.suffix + ".told").write_text(json.dumps(told))


def judge_one(program, seed, options):
    name = name_of(program, seed, options)
    trace = options.place / "traces" / name
    told = trace.with_suffix(trace.suffix + ".told")
    if not told.exists():
        raise play.Failed("no trace of it: scripts/lab run")
    report = reported(options, trace)
    place = options.place / "reports"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{name}.json").write_text(json.dumps(report))
    return score.judge(program, seed, json.loads(told.read_text()), report)


def do_score(programs, options):
    for needed in (options.cli, options.lib):
        if not os.access(needed, os.R_OK):
            raise label.BadLabel(f"no {needed}: cargo build -p resshim-shim -p resshim-analyzer")
    proofs, judged, bad = prove.Proofs(options.place), [], 0
    if options.verb == "run":
        unproven = [program for program in programs if not proofs.has(program)]
        if unproven:
            once = argparse.Namespace(**{**vars(options), "seeds": 1})
            bad += do_prove(unproven, once)
            proofs = prove.Proofs(options.place)
    wanted = [program for program in programs if proofs.has(program)]

    def one(program, seed):
        if options.verb == "run":
            run_one(program, seed, options)
        return judge_one(program, seed, options)

    for (program, seed), result in each(jobs(wanted, options.seeds), options, one):
        if isinstance(result, play.Failed):
            bad += 1
            print(f"FAILED {program.name} seed {seed}: {result}", flush=True)
        else:
            judged.append(result)
    total = score.summary(judged)
    score.show(total, judged)
    result = {"half": options.half, "seeds": options.seeds, "how": "preload" if options.preload else "run",
              "programs": [program.name for program in wanted], "not_proven": [program.name for program in programs if program not in wanted],
              "failed": bad, "summary": total, "judged": judged}
    (options.place / "score.json").write_text(json.dumps(result, indent=1))
    print(f"written: {options.place / 'score.json'}")
    wrong = total["strays"] or any(row["missed"] or not row["leaks"] and row["sure"] for one in judged for row in one["rows"])
    return 1 if bad or options.strict and (wrong or not judged) else 0


def main():
    chosen = options()
    try:
        if chosen.seeds < 1 or chosen.jobs < 1:
            raise label.BadLabel("--seeds and --jobs are at least 1")
        programs = label.find(chosen.programs, chosen.names, chosen.half)
        chosen.place.mkdir(parents=True, exist_ok=True)
        if chosen.verb == "list":
            return do_list(programs)
        return do_prove(programs, chosen) if chosen.verb == "prove" else do_score(programs, chosen)
    except label.BadLabel as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
