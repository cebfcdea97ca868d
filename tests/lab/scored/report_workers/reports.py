"""Renders reports: a queue of jobs, six threads, and a program that is run for each job."""
import json
import os
import queue
import random
import subprocess
import sys
import threading

JOBS = 1500
SITES = ("renderer", "renderer_out", "input", "sync", "watchdog")


class Account:
    def __init__(self):
        self.guard = threading.Lock()
        self.rows = {site: {"acquired": 0, "live": 0, "leaked": 0} for site in SITES}

    def got(self, site, count=1):
        with self.guard:
            self.rows[site]["acquired"] += count
            self.rows[site]["live"] += count

    def gone(self, site, count=1):
        with self.guard:
            self.rows[site]["live"] -= count

    def lost(self, site):
        with self.guard:
            self.rows[site]["leaked"] += 1


ACCOUNT = Account()


class Renderer:
    """One run of the program: text in, text out."""

    killed = []

    def __init__(self, hangs):
        self.command = ["/bin/sleep", "1000"] if hangs else ["/bin/cat"]
        self.late = threading.Event()

    def start(self):
        self.child = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # LAB:renderer LAB:renderer_out
        ACCOUNT.got("renderer")
        ACCOUNT.got("renderer_out", 2)

    def watch(self):
        timer = threading.Timer(20, self.late.set)
        timer.start()  # LAB:watchdog
        ACCOUNT.got("watchdog")
        return timer

    def render(self, text):
        self.start()
        timer = self.watch()
        try:
            out, _ = self.child.communicate(text, timeout=0.3)
            ACCOUNT.gone("renderer")
            ACCOUNT.gone("renderer_out", 2)
            return out
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.stdin.close()
            ACCOUNT.gone("renderer_out")
            ACCOUNT.lost("renderer")
            ACCOUNT.lost("renderer_out")
            Renderer.killed.append(self.child)
            return None
        finally:
            timer.cancel()
            timer.join()
            ACCOUNT.gone("watchdog")


def write_input(number, text):
    with open(f"in.{number % 64}", "wb") as file:  # LAB:input
        ACCOUNT.got("input")
        file.write(text)
    ACCOUNT.gone("input")


def publish(number, text):
    place = os.open("reports", os.O_RDONLY | os.O_DIRECTORY)  # LAB:sync
    ACCOUNT.got("sync")
    try:
        os.rename(f"in.{number % 64}", f"reports/{number % 64}")
        return len(text)
    finally:
        os.close(place)
        ACCOUNT.gone("sync")


def worker(jobs):
    while True:
        number, text, hangs = jobs.get()
        try:
            write_input(number, text)
            rendered = Renderer(hangs).render(text)
            if rendered is not None:
                publish(number, rendered)
        except OSError as error:
            print(f"job {number}: {error}", file=sys.stderr)
        finally:
            jobs.task_done()


def customers(jobs, dice):
    """Jobs come in small bursts; the queue is bounded, so that they wait when it is full."""
    number = 0
    while number < JOBS:
        for _ in range(min(dice.randint(1, 6), JOBS - number)):
            jobs.put((number, b"row\n" * dice.randint(1, 300), dice.random() < 1 / 24))
            number += 1
        threading.Event().wait(dice.uniform(0.02, 0.05))


def main():
    os.mkdir("reports")
    jobs = queue.Queue(maxsize=6)
    for number in range(6):
        threading.Thread(target=worker, args=(jobs,), name=f"worker {number}", daemon=True).start()
    dice = random.Random(int(sys.argv[1]) * 7919)
    print("START", flush=True)
    sys.stdin.readline()
    customers(jobs, dice)
    jobs.join()
    print("DONE")
    for site in SITES:
        print(json.dumps({"site": site, **ACCOUNT.rows[site]}))
    sys.stdout.flush()
    sys.stdin.readline()
    os._exit(0)


main()
