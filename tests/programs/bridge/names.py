"""What the package resshim does, under the shim and without it."""

import asyncio
import sys

import resshim

on = resshim.is_on()
assert on == (sys.argv[1] == "on")


class Thing:
    pass


def live(kind):
    return [(one.handle, one.label) for one in resshim.status(kind)]


def expect(kind, *resources):
    assert live(kind) == (list(resources) if on else []), (kind, live(kind))


@resshim.tracked("job")
def plain(number):
    assert len(live("job")) == on
    return number


@resshim.tracked("job", label="named")
async def coroutine(number):
    assert [label for _, label in live("job")] == (["named"] if on else [])
    return number


@resshim.tracked("stream")
def generator():
    sent = yield 1
    return sent


@resshim.tracked("stream")
async def asynchronous():
    try:
        yield (yield 1)
    except ValueError:
        yield len(live("stream"))


async def main():
    thing = Thing()
    async with resshim.tracked("thing", thing, label="é") as guard:
        guard.state("busy")
        expect("thing", (id(thing), "é"))
    assert await coroutine(5) == 5
    steps = asynchronous()
    assert [await steps.__anext__(), await steps.asend(7)] == [1, 7]
    assert await steps.athrow(ValueError()) == on
    await steps.aclose()


assert plain(3) == 3 and plain.__name__ == "plain"
steps = generator()
assert next(steps) == 1
expect("stream", *[(one.handle, "generator") for one in resshim.status("stream")])
assert len(live("stream")) == on
try:
    steps.send(4)
except StopIteration as stop:
    assert stop.value == 4
asyncio.run(main())
for kind in ("job", "thing", "stream"):
    expect(kind)

try:
    with resshim.tracked("thing", 9):
        expect("thing", (9, ""))
        raise KeyError
except KeyError:
    expect("thing")

# One object again is the same resource; another one at the address of a dead one is not.
kept = Thing()
resshim.track("kept", kept)
resshim.track("kept", kept, label="again")
expect("kept", (id(kept), "again"))
resshim.release("kept", kept)
expect("kept")
for _ in range(3):
    resshim.track("lost", Thing())
assert len(live("lost")) == 3 * on

# Equal strings are the same whatever object they are; numbers are 64 bits wide.
resshim.track("lease", "orders/" + str(7))
resshim.release("lease", "orders/" + str(7))
expect("lease")
resshim.track("lease", -1)
expect("lease", (2**64 - 1, ""))

resshim.depends("lease", -1, "kept", kept, "needs")
resshim.expect("lease", 2.5)
resshim.phase("end")
with open(__file__) as file:
    assert (file.fileno() in [one.handle for one in resshim.open_files()]) == on
