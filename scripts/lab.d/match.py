"""Which finding of a report is which site of a label. Pure."""
import re
from dataclasses import dataclass, field

SURE = ("definite", "probable")
ORDER = ("still-open", "possible", "probable", "definite")
OWN_FRAMES = 3
# A FIFO that is opened by its path is a file to whoever sees only the call.
SAME_KIND = {"fifo": ("fifo", "file"), "shm": ("shm", "file"), "pty": ("pty", "file")}


def nested_out(text, opening, closing):
    """The text without what stands in such brackets; what is left open stays."""
    kept, depth = [], 0
    for letter in text:
        if letter == opening:
            depth += 1
        elif letter == closing and depth:
            depth -= 1
        elif not depth:
            kept.append(letter)
    return text if depth else "".join(kept)


def parts(function):
    """The path of a function: no arguments, template arguments, closures, hashes, `async`."""
    text = function.replace("(anonymous namespace)::", "")
    text = re.sub(r"<(?:impl )?([\w:]+)(?:<[^>]*>)?(?: as [^>]*)?>::", r"\1::", text)
    text = nested_out(nested_out(text, "<", ">"), "(", ")")
    text = re.sub(r"\[clone [^]]*\]|\.(constprop|isra|part|cold)\.?\d*|::\{\{closure\}\}|::\{lambda[^}]*\}|\{\{.*?\}\}|\s+const\b", "", text)
    text = re.sub(r"::h[0-9a-f]{16}$", "", text.strip())
    text = text.split(" ")[-1].removesuffix("::").replace("$", ".").replace("/", ".").replace("#", ".")
    return [part for part in re.split(r"::|\.", text) if part]


def same_function(wanted, seen):
    """Whether one path is the end of the other: debuggers differ in how much of a class or crate they say."""
    one, other = parts(wanted), parts(seen)
    if not one or not other:
        return False
    length = min(len(one), len(other))
    return one[-length:] == other[-length:]


def file_name(frame):
    return (frame.get("file") or "").replace("\\", "/").rpartition("/")[2]


def own_frames(finding, sources):
    """The first frames of the program's own code: from the user's frame on, of its sources where that is known."""
    site = finding.get("site") or {}
    frames = site.get("frames") or []
    user = site.get("user")
    frames = frames[user if isinstance(user, int) else 0:]
    of_sources = [frame for frame in frames if file_name(frame) in sources]
    return (of_sources or frames)[:OWN_FRAMES]


def place(site, frames):
    """Index of the frame that is the site's function, or None; and whether its line is the site's."""
    found = None
    for index, frame in enumerate(frames):
        if file_name(frame) not in ("", site.file) or not same_function(site.function, frame.get("function") or ""):
            continue
        if frame.get("line") == site.line:
            return index, True
        if found is None:
            found = index
    return found, False


@dataclass
class Seen:
    """What a report says of one site."""
    verdict: str = ""  # the strongest; empty = not listed
    right_line: bool = False
    count: int = 0
    elsewhere: str = ""  # where the leak of that kind was seen instead


@dataclass
class Matched:
    sites: dict = field(default_factory=dict)  # name -> Seen
    strays: list = field(default_factory=list)  # sure findings of no site
    aside: list = field(default_factory=list)  # of another kind, at a site that leaks: what the leaked thing itself holds


def where(finding):
    """Kind and place of a finding in one line."""
    site = finding.get("site") or {}
    frames = site.get("frames") or [{}]
    user = site.get("user")
    frame = frames[user if isinstance(user, int) and user < len(frames) else 0]
    name = frame.get("function") or frame.get("module") or "?"
    return f"{finding.get('kind')} at {name}" + (f" ({file_name(frame)}:{frame.get('line')})" if file_name(frame) else "")


def match(sites, sources, findings):
    """Each finding of rule `leak` goes to the site of its kind whose function is innermost in its own frames."""
    result = Matched({site.name: Seen() for site in sites})
    lost = []
    for finding in findings:
        if finding.get("rule") != "leak":
            continue
        frames = own_frames(finding, sources)
        candidates = []
        for site in sites:
            index, right = place(site, frames)
            if index is not None:
                candidates.append((index, not right, site))
        candidates.sort(key=lambda one: one[:2])
        of_kind = [one for one in candidates if finding["kind"] in SAME_KIND.get(one[2].kind, (one[2].kind,))]
        if of_kind:
            _, wrong, site = of_kind[0]
            seen = result.sites[site.name]
            if not seen.verdict or ORDER.index(finding["verdict"]) > ORDER.index(seen.verdict):
                seen.verdict, seen.right_line = finding["verdict"], not wrong
            seen.count += finding.get("count") or 0
        elif finding["verdict"] in SURE:
            leaky = [one for one in candidates if one[2].leaks]
            (result.aside if leaky else lost).append(finding)
    result.strays = lost
    for finding in lost:
        missed = [site for site in sites if site.leaks and site.kind == finding["kind"]
                  and result.sites[site.name].verdict not in SURE and not result.sites[site.name].elsewhere]
        if missed:
            result.sites[missed[0].name].elsewhere = where(finding)
    return result
