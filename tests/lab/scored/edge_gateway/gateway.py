"""An edge gateway on one event loop. Upstream and the clients are processes of their own, forked before the start."""
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import time

REQUESTS = 2000
TALLY = {}


class Site:
    """Counts what one place takes and gives back."""

    def __init__(self, name):
        self.acquired = self.live = self.leaked = 0
        TALLY[name] = self

    def take(self):
        self.acquired += 1
        self.live += 1

    def give(self):
        self.live -= 1


UPSTREAM, PROBE, KEPT, PAGE = (Site(name) for name in ("upstream", "probe", "kept", "page"))


class KeepAlive:
    def __init__(self, address, most):
        self.address, self.most, self.size, self.idle = address, most, 0, []

    async def lend(self, more):
        if self.idle and not (more and self.size < self.most):
            return self.idle.pop(0)
        self.size += 1
        KEPT.take()
        return await asyncio.open_connection(*self.address)  # LAB:kept

    def back(self, streams):
        self.idle.append(streams)


class Answer(asyncio.DatagramProtocol):
    def __init__(self):
        self.came = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, addr):
        if not self.came.done():
            self.came.set_result(data)


class Health:
    """Asks upstream by UDP how it is."""

    def __init__(self, address):
        self.address, self.waiting = address, {}

    async def probe(self, number, lost):
        transport, answer = await asyncio.get_running_loop().create_datagram_endpoint(Answer, remote_addr=self.address)  # LAB:probe
        PROBE.take()
        self.waiting[number] = transport
        transport.sendto(b"drop" if lost else b"ping")
        try:
            await asyncio.wait_for(answer.came, 1)
        except asyncio.TimeoutError:
            PROBE.leaked += 1
            return False
        self.waiting.pop(number).close()
        PROBE.give()
        return True


class Gateway:
    def __init__(self, address, pool, dice):
        self.address, self.pool, self.dice, self.in_flight = address, pool, dice, {}
        self.done = 0
        self.all_done = asyncio.Event()

    def static(self, name):
        with open(name, "rb") as page:  # LAB:page
            PAGE.take()
            text = page.read()
        PAGE.give()
        return text

    async def forward(self, number, question, client):
        reader, writer = await asyncio.open_connection(*self.address)  # LAB:upstream
        UPSTREAM.take()
        self.in_flight[number] = writer
        writer.write(question)
        answer = await reader.readline()
        if await client.readline() == b"":
            # nobody to answer
            UPSTREAM.leaked += 1
            return None
        del self.in_flight[number]
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        UPSTREAM.give()
        return answer

    async def session(self):
        streams = await self.pool.lend(self.dice.random() < 1 / 12)
        streams[1].write(b"who\n")
        await streams[0].readline()
        self.pool.back(streams)

    async def serve(self, client, reply):
        question = await client.readline()
        self.done += 1
        number = self.done
        if number % 5 == 0:
            await self.session()
        answer = await self.forward(number, question, client)
        if answer is not None:
            reply.write(answer + self.static("index.html"))
            await reply.drain()
        reply.close()
        with contextlib.suppress(ConnectionError):
            await reply.wait_closed()
        if number == REQUESTS:
            self.all_done.set()


def upstream(stream, datagrams):
    """Answers each line of each connection with a line, and datagrams that ask for it."""
    async def line(reader, writer):
        while text := await reader.readline():
            writer.write(b"answer to " + text)
        writer.close()

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, addr):
            if data != b"drop":
                self.transport.sendto(data, addr)

    async def run():
        await asyncio.get_running_loop().create_datagram_endpoint(Echo, sock=datagrams)
        await (await asyncio.start_server(line, sock=stream)).serve_forever()

    asyncio.run(run())


def clients(address, gate, seed):
    """One request after the other; a client that loses patience hangs up without the line that says it is there."""
    dice = random.Random(seed)
    os.read(gate, 1)
    for number in range(REQUESTS):
        with socket.create_connection(address) as peer:
            peer.sendall(f"GET /{number}\n".encode())
            if dice.random() < 1 / 35 and number < REQUESTS - 1:
                peer.shutdown(socket.SHUT_WR)
            else:
                peer.sendall(b"here\n")
            while peer.recv(4096):
                pass
        time.sleep(dice.expovariate(1 / 0.004))
    signal.pause()


async def gateway(listener, upstream_at, probe_at, go, seed):
    dice = random.Random(f"probes {seed}")
    service = Gateway(upstream_at, KeepAlive(upstream_at, 10), random.Random(f"gateway {seed}"))
    health = Health(probe_at)
    server = await asyncio.start_server(service.serve, sock=listener)
    print("START", flush=True)
    sys.stdin.readline()
    os.write(go, b"g")
    probes = []
    for number in range(800):
        probes.append(asyncio.create_task(health.probe(number, dice.random() < 1 / 12)))
        await asyncio.sleep(dice.uniform(0.01, 0.02))
    await asyncio.gather(*probes)
    await service.all_done.wait()
    await asyncio.sleep(0.3)
    print("DONE")
    for name, site in TALLY.items():
        print(json.dumps({"site": name, "acquired": site.acquired, "live": site.live, "leaked": site.leaked}))
    sys.stdout.flush()
    sys.stdin.readline()
    return server


def main(seed):
    with open("index.html", "w", encoding="utf-8") as page:
        page.write("<p>edge</p>\n")
    stream, listener = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    gate, go = os.pipe()
    for part in (lambda: upstream(stream, datagrams), lambda: clients(listener.getsockname(), gate, seed)):
        if os.fork() == 0:
            part()
            os._exit(0)
    asyncio.run(gateway(listener, stream.getsockname(), datagrams.getsockname(), go, seed))
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
