"""Sends webhooks to a receiver in a process of its own."""
import json
import multiprocessing
import random
import socket
import sys
import threading
import time

COUNTS = {name: [0, 0, 0] for name in ("connect", "retry", "payload", "worker")}
GUARD = threading.Lock()


def book(site, acquired=0, live=0, leaked=0):
    with GUARD:
        row = COUNTS[site]
        row[0] += acquired
        row[1] += live
        row[2] += leaked


def receiver(listener):
    """Answers each question, and waits for the next; a peer that asks nothing is let go."""
    while True:
        peer, _ = listener.accept()
        with peer:
            if peer.recv(16):
                peer.sendall(b"ok")


class Sender:
    def __init__(self, address):
        self.address = address
        self.retries = []
        self.wake = threading.Event()

    def connect(self):
        peer = socket.create_connection(self.address)  # LAB:connect
        book("connect", 1, 1)
        return peer

    def retry_later(self, peer):
        thread = threading.Thread(target=self.wake.wait, daemon=True)
        thread.start()  # LAB:retry
        self.retries.append((peer, thread))
        book("connect", leaked=1)
        book("retry", 1, 1, 1)

    def deliver(self, body, times_out):
        peer = self.connect()
        peer.sendall(body[:16])
        peer.recv(16)
        if times_out:
            self.retry_later(peer)
            return
        peer.close()
        book("connect", live=-1)


def payload(name):
    with open(name, "rb") as file:  # LAB:payload
        book("payload", 1, 1)
        body = file.read()
    book("payload", live=-1)
    return body


def burst(work):
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()  # LAB:worker
        book("worker", 1, 1)
    for thread in threads:
        thread.join()
        book("worker", live=-1)


def main():
    dice = random.Random(int(sys.argv[1]))
    listener = socket.create_server(("127.0.0.1", 0))
    child = multiprocessing.get_context("fork").Process(target=receiver, args=(listener,), daemon=True)
    child.start()
    sender = Sender(listener.getsockname())
    with open("event.json", "w", encoding="utf-8") as file:
        file.write('{"event": "paid", "order": 1}')
    sender.deliver(b"warm", False)
    COUNTS["connect"] = [0, 0, 0]
    print("START", flush=True)
    sys.stdin.readline()
    for number in range(2400):
        sender.deliver(payload("event.json"), dice.random() < 1 / 30)
        if number % 40 == 0:
            burst(lambda: time.sleep(0.002))
        time.sleep(dice.uniform(0.003, 0.006))
    print("DONE")
    for site, (acquired, live, leaked) in COUNTS.items():
        print(json.dumps({"site": site, "acquired": acquired, "live": live, "leaked": leaked}))
    sys.stdout.flush()
    sys.stdin.readline()
    child.terminate()
    child.join()


main()
