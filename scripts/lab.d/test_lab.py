"""Tests of the parts of the lab's runner that need no program: `python3 -m unittest discover scripts/lab.d`."""
import pathlib
import subprocess
import sys
import unittest
import unittest.mock

import held
import interval
import label
import match
import play
import prove
import score

LABEL = """about = "a"
language = "c"
shape = "service"
run = "{out} {seed}"
seconds = 3
time_factor = 60
[[site]]
name = "fetch"
function = "Proxy::fetch"
kind = "tcp"
leaks = true
rate = "1 of 9"
[[site]]
name = "cache"
function = "cache"
kind = "file"
leaks = false
why = "bounded"
"""
SOURCE = "int a;\nsocket(); /* LAB:fetch */\nopen(); /* LAB:cache */\n"


def program(text=LABEL, source=SOURCE):
    return label.parse("p", "calibration", pathlib.Path("/nowhere"), text, [("main.c", source)])


def finding(function, line=2, kind="tcp", verdict="probable", file="main.c", above=(), user=0, rule="leak"):
    frames = [{"function": name, "file": f"/src/{where}", "line": at} for name, at, where in [(function, line, file), *above]]
    return {"rule": rule, "kind": kind, "verdict": verdict, "count": 5, "title": "t", "site": {"user": user, "frames": frames}}


def matched(*findings, of=None):
    return match.match((of or program()).sites, {"main.c"}, list(findings))


class Labels(unittest.TestCase):
    def test_a_site_knows_its_line(self):
        fetch, cache = program().sites
        self.assertEqual((fetch.file, fetch.line, fetch.leaks, fetch.words), ("main.c", 2, True, "1 of 9"))
        self.assertEqual((cache.line, cache.leaks, cache.words), (3, False, "bounded"))

    def test_what_is_wrong_is_told_in_one_line(self):
        for text, source, what in (
                (LABEL.replace('kind = "tcp"', 'kind = "tpc"'), SOURCE, "kind = 'tpc'"),
                (LABEL.replace('rate = "1 of 9"\n', ""), SOURCE, "site fetch: rate is missing"),
                (LABEL.replace("seconds = 3", 'seconds = "3"'), SOURCE, "seconds = '3' is no float"),
                (LABEL + "whyy = 1\n", SOURCE, "whyy: no such key"),
                (LABEL, SOURCE.replace("LAB:cache", ""), "no line has the comment LAB:cache"),
                (LABEL, SOURCE + "/* LAB:fetch */", "LAB:fetch is in two lines"),
                (LABEL, SOURCE + "/* LAB:other */", "LAB:other is no site"),
                (LABEL.replace('"cache"', '"fetch"'), SOURCE, "two sites have one name"),
                (LABEL.replace("Proxy::fetch", "cache").replace('"tcp"', '"file"'), SOURCE, "two sites of one kind"),
                ("about = ", SOURCE, "Invalid value")):
            with self.subTest(what), self.assertRaisesRegex(label.BadLabel, what) as caught:
                program(text, source)
            self.assertEqual(len(str(caught.exception).splitlines()), 1)

    def test_an_account_must_be_whole_and_possible(self):
        good = ['{"site": "fetch", "acquired": 9, "live": 3, "leaked": 2}', '{"site": "cache", "acquired": 9, "live": 3, "leaked": 0}']
        self.assertEqual(play.account(program(), good)["fetch"], {"acquired": 9, "live": 3, "leaked": 2})
        for lines in (good[:1], [good[0], good[1].replace('"leaked": 0', '"leaked": 1')], [good[0].replace("9", "1"), good[1]],
                      [good[0], "cache 9 3"], [good[0].replace("fetch", "other"), good[1]]):
            with self.subTest(lines), self.assertRaises(play.Failed):
                play.account(program(), lines)


class Proofs(unittest.TestCase):
    def grown(self, **more):
        nothing = dict.fromkeys((*label.DESCRIPTORS, "thread", "process", "mapping bytes", "heap bytes"), 2)
        return nothing, {kind: count + more.get(kind.replace(" ", "_"), 0) for kind, count in nothing.items()}

    def wrong(self, text=LABEL, live=3, bytes_=0, **more):
        told = {"fetch": {"live": live, "bytes": bytes_}, "cache": {"live": 1}}
        return [one.partition(":")[0] for one in prove.disagreements(program(text), told, *self.grown(**more))]

    def test_descriptors_to_the_unit(self):
        self.assertEqual(self.wrong(tcp=3, file=1), [])
        self.assertEqual(self.wrong(tcp=4, file=1), ["tcp"])
        self.assertEqual(self.wrong(tcp=3), ["file"])
        self.assertEqual(self.wrong(tcp=3, file=1, thread=1), ["thread"])

    def test_bytes_from_below_and_above(self):
        heap, mib = LABEL.replace('"tcp"', '"heap"'), 1 << 20
        self.assertEqual(self.wrong(heap, bytes_=40 * mib, heap_bytes=41 * mib, file=1), [])
        self.assertEqual(self.wrong(heap, bytes_=40 * mib, heap_bytes=30 * mib, file=1), ["heap bytes"])
        self.assertEqual(self.wrong(heap, bytes_=40 * mib, heap_bytes=140 * mib, file=1), ["heap bytes"])
        self.assertEqual(self.wrong(heap.replace('"c"', '"java"'), bytes_=40 * mib, heap_bytes=140 * mib, file=1), [])

    def test_stacks_of_new_threads_are_no_mappings_of_a_site(self):
        mapping = LABEL.replace('"tcp"', '"mapping"')
        self.assertEqual(self.wrong(mapping, bytes_=8 << 20, mapping_bytes=8 << 20, file=1), [])
        self.assertIn("mapping bytes", self.wrong(mapping, bytes_=8 << 20, mapping_bytes=8 << 20, thread=1, file=1))

    def test_kinds_of_links(self):
        for link, protocol, kind in (("socket:[1]", "TCPv6", "tcp"), ("socket:[1]", "UNIX-STREAM", "unix"), ("socket:[1]", "PACKET", "socket"),
                                     ("pipe:[1]", None, "pipe"), ("anon_inode:[eventpoll]", None, "epoll"), ("anon_inode:inotify", None, "inotify"),
                                     ("/memfd:x (deleted)", None, "memfd"), ("/dev/pts/3", None, "pty"), ("/etc/passwd", None, "file")):
            self.assertEqual(held.kind_of_link(link, 0o100600, protocol), kind, link)
        self.assertEqual((held.kind_of_link("/etc", 0o040755), held.kind_of_link("/run/f", 0o010600)), ("dir", "fifo"))

    def test_a_process_is_counted_as_it_is(self):
        with subprocess.Popen([sys.executable, "-c", "import os, socket, sys\nfiles = [os.open('/etc', 0) for _ in range(5)]\n"
                               "print(flush=True); sys.stdin.readline()\n"
                               "s = [socket.socket() for _ in range(7)]; os.posix_spawn('/bin/true', ['true'], {})\n"
                               "print(flush=True); sys.stdin.readline()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            before = held.now(child.pid)
            child.stdin.write(b"\n")
            child.stdin.flush()
            child.stdout.readline()
            after = held.now(child.pid)
        self.assertEqual(before["dir"], 5)
        changed = {kind: after[kind] - before[kind] for kind in after if after[kind] != before[kind] and "bytes" not in kind}
        self.assertEqual(changed, {"tcp": 7, "process": 1})


class Matches(unittest.TestCase):
    def test_functions_as_different_debuggers_name_them(self):
        for wanted, seen in (("Proxy::fetch", "Proxy::fetch(int, std::vector<char>)"), ("Proxy::fetch", "app::Proxy::fetch"),
                             ("Proxy::fetch", "(anonymous namespace)::Proxy::fetch(int) const"), ("fetch", "proxy::fetch::h0123456789abcdef"),
                             ("fetch", "proxy::fetch::{{closure}}"), ("Pool.lend", "lend"), ("Desk.connect", "com/shop/Desk.connect"),
                             ("load", "load<int, char>(int)"), ("Sessions::open", "<ingest::Sessions as ingest::Open>::open"),
                             ("fetch", "fetch.constprop.0"), ("Decoder::start", "Decoder::start(int)::{lambda()#1}"),
                             ("openUpstream", "async openUpstream")):
            self.assertTrue(match.same_function(wanted, seen), (wanted, seen))
        for wanted, seen in (("fetch", "prefetch"), ("Proxy::fetch", "Other::fetch"), ("fetch", "fetch::more"), ("fetch", "")):
            self.assertFalse(match.same_function(wanted, seen), (wanted, seen))

    def test_a_finding_belongs_to_the_innermost_site_of_its_kind(self):
        seen = matched(finding("app::Proxy::fetch", above=[("cache", 3, "main.c")]))
        self.assertEqual((seen.sites["fetch"].verdict, seen.sites["fetch"].right_line), ("probable", True))
        self.assertEqual((seen.sites["cache"].verdict, seen.strays), ("", []))
        seen = matched(finding("open_it", kind="file", above=[("cache", 9, "main.c")]))
        self.assertEqual((seen.sites["cache"].verdict, seen.sites["cache"].right_line), ("probable", False))

    def test_of_two_sites_of_one_kind_the_inner_one_is_it(self):
        both = program(LABEL.replace('"file"', '"tcp"'))
        for inner, outer in (("fetch", "cache"), ("cache", "fetch")):
            lines = {"fetch": 2, "cache": 3}
            seen = matched(finding(inner, line=lines[inner], above=[(outer, lines[outer], "main.c")]), of=both)
            self.assertEqual((seen.sites[inner].verdict, seen.sites[outer].verdict), ("probable", ""))

    def test_frames_outside_the_program_and_far_above_do_not_count(self):
        library = [("helper", 1, "lib.c"), ("helper", 1, "lib.c"), ("helper", 1, "lib.c")]
        self.assertEqual(matched(finding("connect", file="lib.c", above=[*library, ("fetch", 2, "main.c")])).sites["fetch"].verdict, "probable")
        own = [("b", 7, "main.c"), ("c", 7, "main.c"), ("fetch", 2, "main.c")]
        self.assertEqual(len(matched(finding("a", above=own)).strays), 1)

    def test_the_strongest_verdict_counts_and_other_rules_do_not(self):
        seen = matched(finding("fetch", verdict="possible"), finding("fetch", verdict="definite", line=8), finding("fetch", rule="churn"))
        self.assertEqual((seen.sites["fetch"].verdict, seen.sites["fetch"].right_line, seen.sites["fetch"].count), ("definite", False, 10))

    def test_what_fits_no_site_is_a_stray_or_aside(self):
        seen = matched(finding("fetch", kind="heap"), finding("cache", kind="heap", line=3), finding("other"), finding("other", verdict="possible"))
        self.assertEqual((len(seen.aside), len(seen.strays)), (1, 2))
        self.assertIn("tcp at other (main.c:2)", seen.sites["fetch"].elsewhere)


class Scores(unittest.TestCase):
    def judged(self, *findings):
        told = {"fetch": {"acquired": 99, "live": 40, "leaked": 40}, "cache": {"acquired": 9, "live": 1, "leaked": 0}}
        report = {"findings": list(findings), "kinds": [{"kind": "tcp", "acquired": 90}], "trace": {"events_lost": 0}}
        with unittest.mock.patch.object(label.Program, "sources", {"main.c"}):
            return score.judge(program(), 1, told, report)

    def test_found_missed_and_accused(self):
        total = score.summary([self.judged(finding("fetch")), self.judged(finding("fetch", verdict="possible")),
                               self.judged(finding("cache", kind="file", line=3))])
        self.assertEqual((total["exact"]["found"]["hits"], total["exact"]["found"]["of"]), (1, 3))
        self.assertEqual((total["exact"]["accused"]["hits"], total["exact"]["accused"]["of"]), (1, 3))
        self.assertEqual(total["by_kind"]["file"]["accused"]["share"], 1 / 3)
        self.assertEqual(total["possible"]["of_missed"]["hits"], 1)

    def test_the_reason_of_a_miss(self):
        self.assertEqual(self.judged(finding("fetch", verdict="possible"))["rows"][0]["missed"], "only possible")
        self.assertEqual(self.judged()["rows"][0]["missed"], "not listed; 90 of 99 acquisitions of tcp were seen")

    def test_sampled_heap_is_asked_by_its_size(self):
        site = label.Site("s", "f", "heap", True, "", "main.c", 1)
        group = lambda mib: score.group(site, {"bytes": mib << 20, "live": 10, "leaked": 10})
        self.assertEqual([group(20), group(5), group(1)], ["heap (sampled)", "heap 4.6–25 × mean", "heap < 4.6 × mean"])


class Intervals(unittest.TestCase):
    def near(self, got, wanted):
        for one, other in zip(got, wanted, strict=True):
            self.assertAlmostEqual(one, other, places=3)

    def test_wilson_has_the_published_values(self):
        # Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), table I, method 3.
        self.near(interval.wilson(81, 263), (0.2553, 0.3662))
        self.near(interval.wilson(15, 148), (0.0624, 0.1605))
        self.near(interval.wilson(0, 20), (0.0000, 0.1611))
        self.near(interval.wilson(1, 29), (0.0061, 0.1718))

    def test_students_quantiles(self):
        self.near([interval.student(freedom) for freedom in (1, 4, 9, 30)], (12.706, 2.776, 2.262, 2.042))

    def test_clusters_that_agree_within_widen_the_interval(self):
        together, apart = [(10, 10)] * 8 + [(0, 10)] * 2, [(8, 10)] * 10
        self.assertEqual(interval.effect(apart), 1.0)
        # All the variation is between clusters of ten: the effect is their size, but for m / (m - 1).
        self.assertAlmostEqual(interval.effect(together), 10 * 10 / 9, places=6)
        low, high = interval.clustered(together)
        wide, narrow = high - low, interval.wilson(80, 100)[1] - interval.wilson(80, 100)[0]
        self.assertGreater(wide, 2.5 * narrow)

    def test_few_programs_tell_less_than_many(self):
        few, many = [(9, 10), (7, 10)], [(9, 10), (7, 10)] * 20
        size = 20 / interval.effect(few) * (interval.student(19) / interval.student(1)) ** 2
        self.assertEqual(interval.clustered(few), interval.wilson(16, 20, size))
        self.assertLess(interval.wilson(16, 20, size)[0], interval.wilson(16, 20)[0])
        self.assertGreater(interval.clustered(many)[0], 0.74)

    def test_where_all_agree_it_is_wilsons(self):
        self.assertEqual(interval.clustered([(10, 10)] * 4), interval.wilson(40, 40))
        self.assertEqual(interval.wilson(0, 0), (0.0, 1.0))


class Bad(unittest.TestCase):
    def test_a_name_that_is_no_program_ends_with_2_and_one_line(self):
        done = subprocess.run([sys.executable, pathlib.Path(__file__).with_name("lab.py"), "prove", "no_such"],
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, len(done.stderr.splitlines()), done.stdout), (2, 1, ""))
        self.assertIn("no_such", done.stderr)


if __name__ == "__main__":
    unittest.main()
