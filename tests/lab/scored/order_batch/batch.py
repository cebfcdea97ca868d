"""Books orders into a database a tenant, much as a mapper of objects does: sessions, a unit of work, a commit."""
import json
import mmap
import os
import random
import sqlite3
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass

ORDERS, TENANTS, MAP = 3600, 160, 1 << 20


@dataclass
class Count:
    acquired: int = 0
    live: int = 0

    def __iadd__(self, number):
        self.acquired += number
        self.live += number
        return self

    def __isub__(self, number):
        self.live -= number
        return self


class Counts:
    session, chunk, prices, prices_file, report = (Count() for _ in range(5))


class Sessions:
    """Open databases, least recently used first."""

    def __init__(self, most):
        self.most, self.open = most, OrderedDict()

    def of(self, tenant):
        if tenant in self.open:
            self.open.move_to_end(tenant)
            return self.open[tenant]
        if len(self.open) == self.most:
            self.open.popitem(last=False)[1].close()
            Counts.session -= 1
        session = sqlite3.connect(f"tenant.{tenant}.db", isolation_level=None)  # LAB:session
        Counts.session += 1
        session.execute("PRAGMA journal_mode = MEMORY")
        session.execute("PRAGMA synchronous = OFF")
        session.execute("CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY, cents INTEGER)")
        self.open[tenant] = session
        return session


class UnitOfWork:
    """Rows that were changed; what is large is spilled into a file of its own until the commit."""

    def __init__(self, sessions):
        self.sessions, self.rows, self.spilled = sessions, [], []

    def note(self, tenant, number, cents, basket):
        self.rows.append((tenant, number, cents))
        if len(basket) > 20:
            file = open(f"chunk.{len(self.spilled)}", "w+b", buffering=0)  # LAB:chunk
            Counts.chunk += 1
            file.write(json.dumps(basket).encode())
            self.spilled.append(file)

    def commit(self):
        for tenant, number, cents in self.rows:
            try:
                self.sessions.of(tenant).execute("INSERT INTO orders VALUES (?, ?)", (number, cents))
            except sqlite3.IntegrityError:
                self.sessions.of(tenant).execute("UPDATE orders SET cents = cents + ? WHERE number = ?", (cents, number))
        for file in self.spilled:
            file.close()
        Counts.chunk -= len(self.spilled)
        self.rows, self.spilled = [], []


class Prices:
    """The price list, mapped; a new list replaces it."""

    def __init__(self):
        self.map = None

    def load(self, day):
        with open("prices", "w+b") as file:
            file.truncate(MAP)
            fresh = mmap.mmap(file.fileno(), MAP)  # LAB:prices LAB:prices_file
        Counts.prices += 1
        Counts.prices_file += 1
        for page in range(0, MAP, 4096):
            fresh[page] = day % 250
        if self.map is not None:
            self.map.close()
            Counts.prices -= 1
            Counts.prices_file -= 1
        self.map = fresh

    def of(self, item):
        return self.map[item * 4096 % MAP] + item


def write_report(day, taken):
    with open(f"report.{day}", "w", encoding="utf-8") as file:  # LAB:report
        Counts.report += 1
        file.write(f"{day}: {taken} cents\n")
    Counts.report -= 1


def orders(dice):
    """A list of orders as it comes from the shops: few tenants have most of them, more tenants join as the day goes on."""
    for number in range(ORDERS):
        known = min(TENANTS, 6 + number // 12)
        tenant = min(int(dice.paretovariate(0.5)) - 1, dice.randrange(known))
        basket = [dice.randrange(9999) for _ in range(dice.randint(1, 40))]
        yield tenant, dice.randrange(500), basket
        time.sleep(dice.uniform(0.002, 0.005))


def book(dice):
    sessions, prices = Sessions(40), Prices()
    work, day, taken, size = UnitOfWork(sessions), 0, 0, 60
    prices.load(day)
    for tenant, number, basket in orders(dice):
        cents = sum(prices.of(item) for item in basket)
        taken += cents
        work.note(tenant, number, cents, basket)
        if len(work.rows) >= size:
            work.commit()
            write_report(day, taken)
            day, size = day + 1, dice.randint(60, 180)
            prices.load(day)
    work.commit()
    return sessions, prices


if __name__ == "__main__":
    sqlite3.connect(":memory:").close()
    print("START", flush=True)
    sys.stdin.readline()
    kept = book(random.Random(f"orders of {sys.argv[1]}"))
    print("DONE")
    for name, count in vars(Counts).items():
        if isinstance(count, Count):
            row = {"site": name, "acquired": count.acquired, "live": count.live, "leaked": 0}
            print(json.dumps(row | ({"bytes": count.live * MAP} if name == "prices" else {})))
    sys.stdout.flush()
    sys.stdin.readline()
    del kept
