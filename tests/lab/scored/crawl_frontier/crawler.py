"""Crawls sites that a web server in a child process plays. Fetchers are added as the morning goes on."""
import http.client
import http.server
import json
import os
import pickle
import random
import socket
import socketserver
import struct
import sys
import tempfile
import threading
import time

SECONDS = 16.5
_lock = threading.Lock()
_sums = {}


def counted(site, step):
    with _lock:
        acquired, live = _sums.get(site, (0, 0))
        _sums[site] = (acquired + max(step, 0), live + step)


class Site:
    """A site while it is crawled: one connection, which is kept alive."""

    def __init__(self, number, web, names, dice):
        self.number, self.web, self.names = number, web, names
        self.patience = dice.randint(5, 60)
        self.connection, self.asked = None, 0
        self.resolve()

    def resolve(self):
        question = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # LAB:resolve
        counted("resolve", 1)
        try:
            question.settimeout(5)
            question.sendto(struct.pack("!I", self.number), self.names)
            return struct.unpack("!I", question.recv(4))[0]
        finally:
            question.close()
            counted("resolve", -1)

    def connect(self):
        connection = http.client.HTTPConnection(*self.web)
        connection.connect()  # LAB:connection
        counted("connection", 1)
        return connection

    def page(self, path):
        if self.connection is None:
            self.connection, self.asked = self.connect(), 0
        self.connection.request("GET", path)
        text = self.connection.getresponse().read()
        self.asked += 1
        if self.asked >= self.patience:
            self.leave()
        return text

    def leave(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
            counted("connection", -1)


class Frontier:
    """Addresses that are still to be fetched. What is too much for memory is spilled, and comes back when it is short."""

    def __init__(self):
        self.lock, self.queue, self.spilled = threading.Lock(), [], []

    def spill(self, addresses):
        file = tempfile.TemporaryFile(dir=".")  # LAB:spill
        counted("spill", 1)
        pickle.dump(addresses, file)
        self.spilled.append(file)

    def add(self, addresses):
        with self.lock:
            if len(self.queue) > 60 and len(self.spilled) < 25:
                self.spill(addresses)
            else:
                self.queue.extend(addresses[:100])

    def take(self, dice):
        with self.lock:
            if len(self.queue) < 25:
                for file in self.spilled:
                    file.seek(0)
                    self.queue.extend(pickle.load(file))
                    file.close()
                    counted("spill", -1)
                self.spilled.clear()
            return self.queue.pop(dice.randrange(len(self.queue))) if self.queue else None


def store_page(number, text):
    file = os.open(f"page.{number % 128}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # LAB:store
    counted("store", 1)
    try:
        if len(text) % 50 == 0:
            raise OSError("a page that is not wanted")
        os.write(file, text)
    except OSError:
        pass
    finally:
        os.close(file)
        counted("store", -1)


class Crawler:
    def __init__(self, web, names, seed):
        self.web, self.names, self.seed = web, names, seed
        self.frontier, self.threads, self.over = Frontier(), [], False
        self.fetched = 0

    def grow(self):
        thread = threading.Thread(target=self.fetch, args=(len(self.threads),), daemon=True)
        thread.start()  # LAB:fetcher
        counted("fetcher", 1)
        self.threads.append(thread)

    def fetch(self, mine):
        dice, sites = random.Random(f"{self.seed} {mine}"), {}
        while not self.over:
            address = self.frontier.take(dice)
            if address is None:
                address = dice.randrange(1000)
            number = address % 7
            if number not in sites:
                if len(sites) == 4:
                    sites.pop(dice.choice(list(sites))).leave()
                sites[number] = Site(number, self.web, self.names, dice)
            text = sites[number].page(f"/{address}")
            store_page(address, text)
            self.fetched += 1
            if dice.random() < 0.024:
                self.frontier.add([dice.randrange(100_000) for _ in range(dice.randint(20, 60))])
            time.sleep(dice.uniform(0.03, 0.06))
        self.idle.wait()

    idle = threading.Event()

    def morning(self):
        begin = time.monotonic()
        while (now := time.monotonic() - begin) < SECONDS:
            if len(self.threads) < min(14, 2 + int(15 * now / SECONDS)):
                self.grow()
            time.sleep(0.01)
        self.over = True
        time.sleep(0.5)


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"x" * (500 + int(self.path[1:]) % 3000)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Name(socketserver.BaseRequestHandler):
    def handle(self):
        data, server = self.request
        server.sendto(data, self.client_address)


def the_web(web, names):
    threading.Thread(target=names.serve_forever, daemon=True).start()
    web.daemon_threads = True
    web.serve_forever()


def start():
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    names = socketserver.UDPServer(("127.0.0.1", 0), Name)
    child = os.fork()
    if child == 0:
        the_web(web, names)
    crawler = Crawler(web.server_address, names.server_address, sys.argv[1])
    print("START", flush=True)
    sys.stdin.readline()
    crawler.morning()
    print("DONE")
    for site, (acquired, live) in _sums.items():
        print(json.dumps(dict(site=site, acquired=acquired, live=live, leaked=0)))
    print(f"{crawler.fetched} pages", file=sys.stderr)
    sys.stdout.flush()
    sys.stdin.readline()
    os.kill(child, 9)
    os.waitpid(child, 0)
    os._exit(0)


start()
