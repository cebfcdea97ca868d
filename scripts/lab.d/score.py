"""Counts what was found, missed and falsely accused, over site × seed. Pure but for the two lines that print."""
from interval import clustered, wilson
from match import SURE, match

MEAN = 512 << 10  # the shim's sampling mean, CONTRACT: RESSHIM_HEAP_SAMPLE
MUST, LISTED = 25, 4.6  # in means: what must be found, and from where on a site is at least listed


def group(site, row):
    """What a site is counted with: sampled heap is another question for each size of leak."""
    if site.kind != "heap":
        return site.kind
    if not site.leaks:
        return "heap (sampled)"
    leaked = row["bytes"] * row["leaked"] / max(1, row["live"])
    if leaked > MUST * MEAN:
        return "heap (sampled)"
    return "heap 4.6–25 × mean" if leaked >= LISTED * MEAN else "heap < 4.6 × mean"


def reason(site, seen, row, report):
    """Why a leaking site is missed, as far as a report shows it."""
    if seen.elsewhere:
        return f"seen at another place: {seen.elsewhere}"
    if seen.verdict:
        return f"only {seen.verdict}"
    kinds = {one["kind"]: one["acquired"] for one in report["kinds"]}
    if site.kind != "heap" and kinds.get(site.kind, 0) < row["acquired"]:
        return f"not listed; {kinds.get(site.kind, 0)} of {row['acquired']} acquisitions of {site.kind} were seen"
    lost = report["trace"]["events_lost"]
    return "not listed" + (f"; {lost} events lost" if lost else "")


def judge(program, seed, told, report):
    """One row a site, and what belongs to none."""
    found = match(program.sites, program.sources, report["findings"])
    rows = []
    for site in program.sites:
        seen, row = found.sites[site.name], told[site.name]
        if site.leaks and not row["leaked"]:
            continue  # this seed drew no leak: nothing can be asked
        sure = seen.verdict in SURE
        rows.append({
            "program": program.name, "language": program.language, "seed": seed, "site": site.name, "kind": site.kind,
            "group": group(site, row), "leaks": site.leaks, **row, "verdict": seen.verdict, "sure": sure,
            "listed": bool(seen.verdict) and seen.verdict != "still-open",
            "right_line": seen.right_line, "counted": seen.count, "elsewhere": seen.elsewhere,
            "missed": "" if sure or not site.leaks else reason(site, seen, row, report)})
    from match import where
    others = {}
    for finding in report["findings"]:
        if finding["rule"] != "leak" and finding["verdict"] in SURE:
            others[finding["rule"]] = others.get(finding["rule"], 0) + 1
    return {"rows": rows, "strays": [{"program": program.name, "seed": seed, "verdict": one["verdict"], "count": one["count"],
                                      "what": where(one), "title": one["title"]} for one in found.strays],
            "aside": [{"program": program.name, "seed": seed, "what": where(one)} for one in found.aside],
            "other_rules": others}


def share(rows, hit):
    """Hits, of how many, and both intervals."""
    by_program = {}
    for row in rows:
        hits, of = by_program.get(row["program"], (0, 0))
        by_program[row["program"]] = (hits + bool(hit(row)), of + 1)
    hits, of = sum(one[0] for one in by_program.values()), len(rows)
    return {"hits": hits, "of": of, "programs": len(by_program), "share": hits / of if of else None,
            "wilson": wilson(hits, of), "clustered": clustered(list(by_program.values()))}


def summary(judged):
    rows = [row for one in judged for row in one["rows"]]
    strays = [stray for one in judged for stray in one["strays"]]
    leaky, clean = [row for row in rows if row["leaks"]], [row for row in rows if not row["leaks"]]

    def by(key):
        table = {}
        for value in sorted({row[key] for row in rows}):
            table[value] = {"found": share([row for row in leaky if row[key] == value], lambda row: row["sure"]),
                            "accused": share([row for row in clean if row[key] == value], lambda row: row["sure"])}
        return table

    exact = [row for row in leaky if row["kind"] != "heap"]
    exact_clean = [row for row in clean if row["kind"] != "heap"]
    named = [row for row in leaky if row["sure"] or row["elsewhere"]]
    return {
        "exact": {"found": share(exact, lambda row: row["sure"]), "accused": share(exact_clean, lambda row: row["sure"])},
        "by_kind": by("group"), "by_language": by("language"),
        "possible": {"of_missed": share([row for row in leaky if not row["sure"]], lambda row: row["verdict"] == "possible"),
                     "of_clean": share(clean, lambda row: row["verdict"] == "possible")},
        "heap_listed": share([row for row in leaky if row["group"] == "heap 4.6–25 × mean"], lambda row: row["listed"]),
        "right_function": share(named, lambda row: row["sure"]),
        "right_line": share(named, lambda row: row["sure"] and row["right_line"]),
        "strays": len(strays), "strays_where_a_leak_of_that_kind_is_missed": sum(bool(row["elsewhere"]) for row in leaky),
        "aside": sum(len(one["aside"]) for one in judged),
        "other_rules": {rule: sum(one["other_rules"].get(rule, 0) for one in judged)
                        for rule in sorted({rule for one in judged for rule in one["other_rules"]})},
        "runs": len(judged)}


def cell(one):
    if not one["of"]:
        return f"{'–':>7} {'':>9} {'':>13} {'':>13}"
    (a, b), (c, d) = one["wilson"], one["clustered"]
    return (f"{one['share']:>7.1%} {str(one['hits']) + '/' + str(one['of']):>9} "
            f"{f'{a * 100:.1f}–{b * 100:.1f}':>13} {f'{c * 100:.1f}–{d * 100:.1f}':>13}")


def show(total, judged):
    head = f"{'':7} {'site×seed':>9} {'95 %':>13} {'by program':>13}"
    print(f"{'':22}{'found of the leaking':^46}  {'accused of the clean':^46}\n{'':22}{head}  {head}")
    for title, table in (("exact kinds", {"": total["exact"]}), ("kind", total["by_kind"]), ("language", total["by_language"])):
        for name, row in table.items():
            print(f"{(name or title):22}{cell(row['found'])}  {cell(row['accused'])}".rstrip())
        print()
    print(f"the right function     {cell(total['right_function'])}  of the leaks that are seen at all")
    print(f"the right line, too    {cell(total['right_line'])}")
    print(f"only possible          {cell(total['possible']['of_missed'])}  of the missed leaks")
    print(f"clean, called possible {cell(total['possible']['of_clean'])}")
    if total["heap_listed"]["of"]:
        print(f"heap 4.6–25 listed     {cell(total['heap_listed'])}")
    print(f"findings of no site: {total['strays']} in {total['runs']} runs, {total['strays_where_a_leak_of_that_kind_is_missed']} of them "
          f"where a leak of that kind is missed; of another kind at a leaking site: {total['aside']}")
    if total["other_rules"]:
        print("other rules: " + ", ".join(f"{rule} {count}" for rule, count in total["other_rules"].items()))
    lists = (
        ("missed", [f"{row['program']}.{row['site']} ({row['kind']}): {row['missed']}\0{row['seed']} ({row['leaked']} leaked)"
                    for one in judged for row in one["rows"] if row["missed"]]),
        ("accused", [f"{row['program']}.{row['site']} ({row['kind']}): {row['verdict']}\0{row['seed']}"
                     for one in judged for row in one["rows"] if not row["leaks"] and row["sure"]]),
        ("of no site", [f"{stray['program']}: {stray['verdict']} {stray['what']}\0{stray['seed']}"
                        for one in judged for stray in one["strays"]]),
        ("wrong line", [f"{row['program']}.{row['site']}\0{row['seed']}"
                        for one in judged for row in one["rows"] if row["leaks"] and row["sure"] and not row["right_line"]]))
    for title, lines in lists:
        seeds = {}
        for line in lines:
            text, _, seed = line.partition("\0")
            seeds.setdefault(text, []).append(seed)
        for text, of in seeds.items():
            print(f"{title}: {text} [seed {', '.join(of)}]")
