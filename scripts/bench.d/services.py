"""What tracing costs real services, a request: user instructions, system calls, page faults, CPU time and
latency under a load that does not wait for answers. Counts are differences of a long and a short run, so
that start and end fall out; each stands beside the difference of two untraced runs (A/A)."""
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time

ASYNCIO = """
import asyncio, signal, sys
async def serve(reader, writer):
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.0 200 OK\\r\\nContent-Length: 64\\r\\nConnection: close\\r\\n\\r\\n" + b"x" * 64)
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()
asyncio.run(main())
"""
NODE = """
const page = 'x'.repeat(64);
require('http').createServer((request, response) => response.end(page)).listen(Number(process.argv[2]), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
"""
JAVA = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
public final class Server {
    public static void main(String[] args) throws Exception {
        byte[] page = "x".repeat(64).getBytes();
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 64);
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, page.length);
            exchange.getResponseBody().write(page);
            exchange.close();
        });
        server.start();
    }
}
"""
NGINX = """
daemon off; master_process off; worker_processes 1; pid {place}/nginx.pid; error_log {place}/error.log;
events {{ worker_connections 512; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {place}/t1; proxy_temp_path {place}/t2;
  fastcgi_temp_path {place}/t3; uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
  server {{ listen 127.0.0.1:{port}; root {place}; }} }}
"""


class Service:
    """One service: how it is started, loaded and stopped. `counts` are the requests of the short and the long
    run under a tool that counts, `timed` those of a run on the clock."""

    counts, timed, needs, user = (500, 2_500), 20_000, ("ab",), None
    # Whether valgrind can count it: not what compiles itself while it runs.
    is_countable = True

    def __init__(self, place):
        self.place, self.port = pathlib.Path(place), free_port()
        (self.place / "page").write_text("x" * 64)
        self.prepare()

    def prepare(self):
        pass

    def load(self, requests):
        return ["ab", "-q", "-n", str(requests), "-c", "4", f"http://127.0.0.1:{self.port}/page"]

    def agent(self, library):
        """What `resshim run` would set beside the preload."""
        return {}

    def get_ready(self):
        """After its port accepts connections."""

    def stop(self, child):
        child.terminate()


class Redis(Service):
    name, needs = "redis SET, pipeline of 16", ("redis-server", "redis-benchmark", "redis-cli")
    counts, timed = (20_000, 120_000), 1_000_000

    def command(self):
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.place)]

    def load(self, requests):
        return ["redis-benchmark", "-p", str(self.port), "-t", "set", "-P", "16", "-c", "4", "-n", str(requests), "-q"]

    def stop(self, child):
        subprocess.run(["redis-cli", "-p", str(self.port), "shutdown", "nosave"], stdout=subprocess.DEVNULL, check=False)


class Nginx(Service):
    name, needs, timed = "nginx, a file, a connection each", ("nginx", "ab"), 30_000
    counts = (2_000, 12_000)

    def prepare(self):
        (self.place / "nginx.conf").write_text(NGINX.format(place=self.place, port=self.port))

    def command(self):
        return ["nginx", "-p", str(self.place), "-c", str(self.place / "nginx.conf")]


class NginxKept(Nginx):
    name = "nginx, a file, connections kept"

    def load(self, requests):
        return [*super().load(requests)[:-1], "-k", super().load(requests)[-1]]


class Postgres(Service):
    name, needs, timed, user = "PostgreSQL, pgbench -S", ("pgbench",), 20_000, "postgres"
    counts = (200, 1_200)

    def prepare(self):
        self.bin = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        data = self.place / "data"
        shutil.chown(self.place, self.user, self.user)
        self.as_user([self.bin / "initdb", "-D", data, "-A", "trust", "-N"])
        with open(data / "postgresql.conf", "a") as settings:
            settings.write(f"port = {self.port}\nunix_socket_directories = '{self.place}'\nautovacuum = off\n"
                           "fsync = off\nlisten_addresses = '127.0.0.1'\njit = off\nlog_min_messages = fatal\n")
        child = subprocess.Popen(self.drop() + [str(word) for word in self.command()], stderr=subprocess.DEVNULL)
        self.get_ready()
        self.as_user(["pgbench", "-i", "-q", *self.where()])
        self.stop(child)
        child.wait()

    def get_ready(self):
        # It accepts connections before it serves them.
        asked = [self.bin / "pg_isready", "-q", *self.where()[:-1]]
        for _ in range(1500):
            if subprocess.run(asked, check=False).returncode == 0:
                return
            time.sleep(0.02)
        raise RuntimeError("PostgreSQL does not get ready")

    def where(self):
        return ["-h", str(self.place), "-p", str(self.port), "postgres"]

    def drop(self):
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups"]

    def as_user(self, command):
        subprocess.run(self.drop() + [str(word) for word in command], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, cwd="/", check=True)

    def command(self):
        return [self.bin / "postgres", "-D", self.place / "data"]

    def load(self, requests):
        return self.drop() + ["pgbench", "-S", "-n", "-c", "1", "-t", str(requests), *self.where()]

    def stop(self, child):
        self.as_user([self.bin / "pg_ctl", "stop", "-D", self.place / "data", "-m", "fast"])


class Asyncio(Service):
    name, timed, counts = "CPython asyncio, a connection each", 10_000, (100, 700)

    def prepare(self):
        (self.place / "server.py").write_text(ASYNCIO)

    def command(self):
        return [sys.executable, self.place / "server.py", self.port]


class Node(Service):
    name, needs, timed = "Node http, a connection each", ("node", "ab"), 15_000
    is_countable = False

    def prepare(self):
        (self.place / "server.js").write_text(NODE)

    def command(self):
        return ["node", self.place / "server.js", self.port]

    def agent(self, library):
        return {"NODE_OPTIONS": "--perf-basic-prof-only-functions --interpreted-frames-native-stack"}


class Java(Service):
    name, needs, timed = "Java httpserver, a connection each", ("javac", "java", "ab"), 30_000
    is_countable = False

    def prepare(self):
        source = self.place / "Server.java"
        source.write_text(JAVA)
        subprocess.run(["javac", "-d", self.place, source], check=True)

    def command(self):
        return ["java", "-Xmx256m", "-XX:+UseSerialGC", "-cp", self.place, "Server", self.port]

    def agent(self, library):
        return {"JAVA_TOOL_OPTIONS": f"-agentpath:{library}"}


ALL = (Redis, NginxKept, Nginx, Postgres, Asyncio, Node, Java)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port):
    for _ in range(3000):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"nothing listens on {port}")


class Runs:
    """Runs of one service, in a fresh directory of traces each."""

    def __init__(self, bench, service):
        self.bench, self.service = bench, service

    def environment(self, traced):
        if not traced:
            return {}, None
        environment, regions = self.bench.traced()
        environment = environment | self.service.agent(environment["LD_PRELOAD"])
        if self.service.user:
            shutil.chown(regions, self.service.user, self.service.user)
        return environment, regions

    def run(self, traced, work, wrapper=()):
        """Starts the service, traced or not, under `wrapper` (a list that may hold ENV where the variables go),
        has `work` done with it, stops it; what it used."""
        environment, regions = self.environment(traced)
        drop = self.service.drop() if self.service.user else []
        pairs = ["PYTHONHASHSEED=0", *(f"{name}={value}" for name, value in environment.items())]
        command = [*drop, *wrapper, "env", *pairs, *self.service.command()]
        child = subprocess.Popen([str(word) for word in command], cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(self.service.port)
            self.service.get_ready()
            result = work()
        finally:
            self.service.stop(child)
            _, _, usage = os.wait4(child.pid, 0)
            child.returncode = 0
            if regions:
                shutil.rmtree(regions)
        return usage, result

    def load(self, requests):
        command = [str(word) for word in self.service.load(requests)]
        return lambda: subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    def per_request(self, traced, total):
        short, long = self.service.counts
        return (total(traced, long) - total(traced, short)) / (long - short)

    def instructions(self, traced, requests):
        logs = self.log_directory("callgrind")
        tool = ["valgrind", "--tool=callgrind", "--trace-children=yes", "--callgrind-out-file=/dev/null",
                f"--log-file={logs}/%p"]
        self.run(traced, self.load(requests), tool)
        # A child that was forked writes into its parent's log.
        return sum(int(count) for file in logs.iterdir() for count in re.findall(r"Collected : (\d+)", file.read_text()))

    def system_calls(self, traced, requests):
        logs = self.log_directory("strace")
        # -D: the service keeps the process id that it is stopped by; strace ends a little later.
        self.run(traced, self.load(requests), ["strace", "-D", "-f", "-c", "-o", logs / "counts"])
        for _ in range(500):
            total = re.search(r"^100\.00 .*?(\d+) +(?:\d+ +)?total$", (logs / "counts").read_text(), re.MULTILINE)
            if total:
                return int(total[1])
            time.sleep(0.02)
        raise RuntimeError("strace wrote no counts")

    def faults(self, traced, requests):
        return self.run(traced, self.load(requests))[0].ru_minflt

    def log_directory(self, name):
        logs = self.service.place / f"{name}{time.monotonic_ns()}"
        logs.mkdir()
        if self.service.user:
            shutil.chown(logs, self.service.user, self.service.user)
        return logs

    def cpu(self, traced):
        usage, _ = self.run(traced, self.load(self.service.timed // (10 if self.bench.short else 1)))
        return usage.ru_utime + usage.ru_stime


def counted(runs, total, show):
    """Untraced, again, and traced: a request."""
    first, traced, again = (runs.per_request(which, total) for which in (False, True, False))
    show(first, traced - (first + again) / 2, again - first)


def ratio_of_cpu(runs):
    """Medians and middle halves of traced/untraced and untraced/untraced, neighbours in turn."""
    ratios = {True: [], False: []}
    for _ in range(max(runs.bench.rounds // 2, 4)):
        for traced in (True, False):
            before = runs.cpu(False)
            ratios[traced].append(runs.cpu(traced) / before)
    text = []
    for values in ratios.values():
        low, middle, high = statistics.quantiles(values, n=4)
        text.append(f"{middle:.3f} [{low:.3f}…{high:.3f}]")
    return text


def main(bench, only):
    for kind in ALL:
        missing = [tool for tool in kind.needs if not shutil.which(tool)]
        if only.lower() not in kind.name.lower():
            continue
        if missing:
            print(f"{kind.name}: not measured, {', '.join(missing)} absent", flush=True)
            continue
        place = bench.place / f"service{bench.serial}"
        bench.serial += 1
        place.mkdir(mode=0o755)
        runs = Runs(bench, kind(place))
        print(f"{kind.name}", flush=True)
        if kind.is_countable and shutil.which("valgrind"):
            counted(runs, runs.instructions, lambda base, more, noise: print(
                f"  instructions a request {base:12.0f}  {more:+9.1f} ({more / base:+.2%})   A/A {noise / base:+.2%}", flush=True))
        if shutil.which("strace"):
            counted(runs, runs.system_calls, lambda base, more, noise: print(
                f"  system calls a request {base:12.3f}  {more:+9.4f} ({more / base:+.2%})   A/A {noise / base:+.2%}", flush=True))
        counted(runs, runs.faults, lambda base, more, noise: print(
            f"  page faults a request  {base:12.4f}  {more:+9.4f}             A/A {noise:+.4f}", flush=True))
        traced, same = ratio_of_cpu(runs)
        print(f"  CPU time, ratio        {traced}   A/A {same}", flush=True)
        shutil.rmtree(place)
