#!/usr/bin/env python3
"""Drives tickerd over loopback for a while, as its clients would: drive.py PORTFILE SECONDS [SEED]

Prices that exist, about one in eight that does not, sessions that begin and end, a few requests that
make no sense and clients that go away at once. Ends with 1 if the service answered anything else than
it should."""
import collections
import pathlib
import random
import socket
import sys
import threading
import time

CLIENTS = 3
PAUSE_S = 0.004
NAMES = ["ACME", "Globex", "Initech", "Umbrella", "Hooli"]


def ask(port, request):
    """Sends one request, returns (status, body)."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request.encode())
        answer = b""
        while part := connection.recv(4096):
            answer += part
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body.strip()


def client(port, until, choose, answers):
    open_sessions = []
    while time.monotonic() < until:
        dice = choose.random()
        if dice < 0.65:
            status, body = ask(port, f"GET /price/{choose.choice(NAMES)} HTTP/1.1\r\n\r\n")
            answers["price", status] += 1
            if float(body) <= 0:
                raise ValueError(f"price {body!r}")
        elif dice < 0.75:
            status, _ = ask(port, f"GET /price/{choose.choice(NAMES).lower()} HTTP/1.1\r\n\r\n")
            answers["unknown", status] += 1
        elif dice < 0.85:
            status, body = ask(port, "GET /session HTTP/1.1\r\n\r\n")
            answers["begin", status] += 1
            open_sessions.append(int(body))
        elif dice < 0.93 and open_sessions:
            status, _ = ask(port, f"DELETE /session/{open_sessions.pop(0)} HTTP/1.1\r\n\r\n")
            answers["end", status] += 1
        elif dice < 0.96:
            status, _ = ask(port, "BREW /coffee\r\n\r\n")
            answers["nonsense", status] += 1
        else:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        time.sleep(PAUSE_S)


def main():
    port_file, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    patience = time.monotonic() + 20
    while not port_file.exists():
        if time.monotonic() > patience:
            sys.exit(f"drive: no {port_file} after 20 s")
        time.sleep(0.02)
    port = int(port_file.read_text())
    answers, failures = collections.Counter(), []

    def run(number):
        try:
            client(port, time.monotonic() + seconds, random.Random(seed * 100 + number), answers)
        except (OSError, ValueError, IndexError) as problem:
            failures.append(f"client {number}: {problem}")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    right = {"price": 200, "unknown": 404, "begin": 200, "end": 200, "nonsense": 400}
    failures += [f"{what}: {n} times {status}" for (what, status), n in answers.items() if right[what] != status]
    if failures:
        sys.exit("drive: " + "; ".join(failures))
    print(f"{sum(answers.values())} requests, {answers['unknown', 404]} of them for prices that do not exist")


if __name__ == "__main__":
    main()
