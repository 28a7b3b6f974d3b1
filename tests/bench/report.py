"""Says what was measured, as Markdown."""
import os
import platform
import re
import subprocess
from math import ceil
from pathlib import Path
from statistics import median

from processes import ROOT
from systems import READS

NAMES = {"portcullis": "Portcullis", "uncached": "Portcullis without the token cache", "peer": "FastAPI Users"}


def output_of(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def versions(database):
    changed = output_of("git", "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": output_of("git", "rev-parse", "--short", "HEAD") + (" with changes" if changed else ""),
        "rustc": output_of("rustc", "--version").split()[1],
        "Postgres": database.version,
    }


def machine():
    """Cores, processor, memory, system; and how busy it is with other things."""
    if platform.system() == "Darwin":
        model, memory = output_of("sysctl", "-n", "machdep.cpu.brand_string"), output_of("sysctl", "-n", "hw.memsize")
    else:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        model = found[1] if found else platform.machine()
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "processor": re.sub(r"\s+", " ", model),
        "memory_gib": round(int(memory) / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": os.getloadavg()[0],
    }


def markdown(result):
    machine, settings = result["machine"], result
    named = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    head = (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, {machine['system']}; {named};"
        " the load generator and Postgres on the same cores. In the first four tables each number is the median of "
        f"{len(result['rounds'])} rounds of {settings['seconds']} s that take turns, in brackets the lowest and the "
        "highest."
    )
    tables = (reads, logins, latencies, memory, logouts, revocations)
    return "\n\n".join([head, *(table_of(result) for table_of in tables)])


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rates(result, name):
    return [one["rates"][name] for one in result["rounds"]]


def rate(result, name):
    """The median, the lowest and the highest."""
    values = rates(result, name)
    return f"{number(median(values))} ({number(min(values))} to {number(max(values))})"


def ratio(result, name, base):
    """The median of the ratios of each round, in which both ran one after the other."""
    pairs = zip(rates(result, name), rates(result, base))
    return f"{median(one / other for one, other in pairs):.3g}"


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def systems(result, kind="logins"):
    """Those of which this was measured."""
    return [name for name in NAMES if f"{name}_{kind}" in result["rounds"][0]["rates"]]


def reads(result):
    rows = [
        ["`GET /health/live` of the gateway", rate(result, "health_live"), "1", "",
         processor(result, "health_live")],
        ["the same select by `pgbench -M prepared`", rate(result, "pgbench"), "", "1", ""],
    ]
    for system in systems(result, "bearer"):
        for kind, path, credential in READS[system]:
            name = f"{system}_{kind}"
            rows.append([
                f"{NAMES[system]}, `GET {path}`, {credential}", rate(result, name),
                ratio(result, name, "health_live"),
                # Only this one needs the select.
                ratio(result, name, "pgbench") if path == "/users/me" else "", processor(result, name),
            ])
    return table([f"reads, {result['connections']} connections", "a second", "of `/health/live`", "of `pgbench`",
                  "µs of a core for one"], rows)


def processor(result, name):
    rounds = [one["processor_micros"].get(name, {}) for one in result["rounds"]]
    middle = {process: median(one[process] for one in rounds) for process in rounds[0]}
    return ", ".join(f"{process} {micros:.0f}" for process, micros in middle.items() if micros >= 1)


def logins(result):
    rows = [[f"bcrypt at cost {result['bcrypt_cost']} on all cores, nothing else", rate(result, "raw_bcrypt"), "1"]]
    for system in systems(result):
        name = f"{system}_logins"
        rows.append([f"{NAMES[system]}, logins", rate(result, name), ratio(result, name, "raw_bcrypt")])
    return table([f"logins, {2 * result['machine']['cores']} clients", "a second", "of raw bcrypt"], rows)


def latencies(result):
    rows = []
    for system in systems(result):
        found = [one["latency"][system] for one in result["rounds"]]
        middle = {key: median(one[key] for one in found) for key in ("rate", "p50", "p99")}
        rows.append([f"{NAMES[system]}, `GET /users/me`, {middle['rate']:.0f} a second",
                     f"{middle['p50']:.2f}", f"{middle['p99']:.2f}"])
    return table(["time of an answer", "half, ms", "99 %, ms"], rows)


def memory(result):
    """At rest, and the most that was seen during reads and during logins."""
    rows = []
    for process, at_rest in result["memory_at_rest"].items():
        def most(work):
            return max(memory[process] for one in result["rounds"]
                       for place, memory in one["memory"].items() if place.startswith(work))
        rows.append([process, *(f"{size / 2**20:.0f}" for size in (at_rest, most("reads"), most("logins")))])
    return table(["memory, MiB", "at rest", "during reads", "during logins"], rows)


def logouts(result):
    """From the answer to the last of the first refusals."""
    found, rows = result["logouts"], []
    load = found["flood"]["load"]
    flood = (f"while {load['clients']} clients try to log in {number(load['tried'])} times a second, "
             f"{number(load['done'])} with success")
    for name, caption in (("calm", "while nothing else is done"), ("flood", flood)):
        figures = sorted(1000 * max(one) for one in found[name]["refused_after"])
        rows.append([caption, f"{len(figures):,}",
                     *(f"{of_sorted(figures, part):.1f}" for part in (0.5, 0.99, 1))])
    return table([f"from the answer of a logout until the last of {found['gateways']} gateways refuses the token",
                  "logouts", "half, ms", "99 %, ms", "worst, ms"], rows)


def of_sorted(values, part):
    """The least that so large a part of the values does not exceed."""
    return values[max(0, ceil(part * len(values)) - 1)]


def revocations(result):
    """Medians of the starts."""
    rows, without = [], median(result["revocations"][0]["memory"])
    for one in result["revocations"]:
        count, memory = one["count"], median(one["memory"])
        each = f"{(memory - without) / count:.0f}" if count else ""
        rows.append([f"{count:,}", f"{1000 * median(one['ready_after']):,.0f}", f"{memory / 2**20:.1f}", each])
    return table(["live revocations, when a gateway starts", "ready after, ms", "its own memory, MiB",
                  "bytes for one"], rows)
