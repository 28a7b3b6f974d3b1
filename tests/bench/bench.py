"""Measures Portcullis against what the machine, the HTTP library and Postgres can do. tests/bench/run prepares it."""
import argparse
import base64
import http.client
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import feed
import report
import revocations
from load import Load
from portcullis import Portcullis
from processes import ROOT, Failed, Processes, memory_of, processor_time_of, say
from systems import BCRYPT_COST, EMAIL, PASSWORD, READS, Database, fill, peer_versions, start_peer

ROUNDS = 3
LOGOUTS = 1000
# Of a gateway, with each number of revocations.
STARTS = 5


def main():
    arguments = parse_arguments()
    # Written before the minutes of work, so that a folder which is not there is met now.
    output = open(arguments.json, "w", encoding="utf-8") if arguments.json else None
    try:
        with tempfile.TemporaryDirectory(prefix="portcullis-bench.") as logs, Processes(Path(logs)) as processes:
            result = measure_all(processes, arguments)
    except (Failed, OSError, http.client.HTTPException) as error:
        print(f"tests/bench/run: {error}", file=sys.stderr)
        return 1
    if output:
        json.dump(result, output, indent=2)
        output.close()
    print(report.markdown(result))
    return 0


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/run", allow_abbrev=False, description=(
        "Builds the release binaries, starts them on a private Postgres, and prints what they do a second beside what "
        f"the machine can do: each number is the median of {ROUNDS} rounds that take turns, so that a ratio compares "
        f"what ran in the same minute. Then how soon gateways refuse a token after a logout, of {LOGOUTS:,} in peace "
        "and as many under a flood of logins; and what a gateway needs to remember what has ended. It installs what "
        "it needs, and leaves nothing behind."))
    parser.add_argument("--seconds", type=positive, default=5, metavar="N", help="how long each measurement takes (5)")
    parser.add_argument("--quick", action="store_true",
                        help="one second each, and few logouts: whether it works, not how fast it is")
    parser.add_argument("--connections", type=positive, default=32, metavar="N", help="clients of the reads (32)")
    parser.add_argument("--rate", type=positive, default=250, metavar="N",
                        help="requests a second at which the times of answers are measured (250)")
    parser.add_argument("--peer", action="store_true", help="measure FastAPI Users 15.0.5 as well, side by side")
    parser.add_argument("--json", metavar="FILE", help="write every single measurement to a file")
    arguments = parser.parse_args()
    arguments.logouts, arguments.starts = LOGOUTS, STARTS
    if arguments.quick:
        arguments.seconds, arguments.logouts, arguments.starts = 1, 50, 1
    return arguments


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def measure_all(processes, arguments):
    machine = report.machine()
    build(processes)
    say("starting Postgres, identity-service and the gateway")
    database = Database(processes, ROOT / "target/bench-postgres")
    portcullis = Portcullis(processes, database.url)
    systems = {"portcullis": portcullis.start_gateway()}
    systems["portcullis"].log_in()
    uncached = portcullis.start_gateway("gateway-without-cache", {"TOKEN_CACHE_SIZE": "0"})
    uncached.use(systems["portcullis"].id, systems["portcullis"].token)
    fill(database)
    versions = report.versions(database)
    if arguments.peer:
        say("starting FastAPI Users")
        systems["peer"] = start_peer(processes, database)
        versions["FastAPI Users"], versions["uvicorn"], versions["Python"] = peer_versions(processes)
    load = Load(processes, os.cpu_count(), arguments.seconds, arguments.connections)
    bench = Bench(load, systems, uncached, database, arguments.rate)
    for number in range(1, ROUNDS + 1):
        bench.round(f"round {number} of {ROUNDS}")
    logouts = feed.measure(processes, database, load, arguments.logouts)
    remembered = revocations.measure(processes, database, arguments.starts)
    return {
        "machine": machine,
        "versions": versions,
        "seconds": arguments.seconds,
        "connections": arguments.connections,
        "rate": arguments.rate,
        "bcrypt_cost": BCRYPT_COST,
        "memory_at_rest": bench.memory_at_rest,
        "rounds": bench.rounds,
        "logouts": logouts,
        "revocations": remembered,
    }


def build(processes):
    say("building the release binaries (the first time takes many minutes)")
    packages = [part for name in ("identity-service", "gateway", "portcullis-tests") for part in ("-p", name)]
    processes.run(["cargo", "build", "--release", "--locked", "--bins", "--target-dir", "target", *packages])


class Bench:
    """One round after the other of all that is measured."""

    def __init__(self, load, systems, uncached, database, rate):
        self.load, self.systems, self.uncached, self.database, self.rate = load, systems, uncached, database, rate
        self.rounds = []
        portcullis = systems["portcullis"]
        payload = portcullis.token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        self.select = ROOT / "tests/bench/me.sql"
        self.select_variables = {"user": portcullis.id, "session": claims["sid"]}
        self.check_select()
        self.memory_at_rest = self.memory()

    def check_select(self):
        statement = self.select.read_text()
        for name, value in self.select_variables.items():
            statement = statement.replace(f":{name}", f"'{value}'")
        found = self.database.ask(statement)
        if not found.startswith(self.select_variables["user"]) or not found.endswith("|t"):
            raise Failed(f"{self.select} does not find the user and his session, but: {found or 'nothing'}")

    def memory(self):
        """What each process has in memory now, in bytes; a process with all below it."""
        return {name: memory_of(pid) for system in self.systems.values() for name, pid in system.pids.items()}

    def memory_later(self, place):
        """Keeps what they have when most of a measurement is over."""
        def look():
            time.sleep(0.8 * self.load.seconds)
            self.now["memory"][place] = self.memory()
        return look

    def round(self, name):
        self.now = {"rates": {}, "memory": {}, "processor_micros": {}, "latency": {}}
        self.reads(name)
        self.hashes(name)
        self.rounds.append(self.now)

    def reads(self, name):
        rates, load = self.now["rates"], self.load
        say(f"{name}: GET /health/live")
        self.read("health_live", self.systems["portcullis"], "/health/live", "")
        say(f"{name}: pgbench")
        rates["pgbench"] = load.selects(self.database, self.select, self.select_variables)
        for system_name, system in {**self.systems, "uncached": self.uncached}.items():
            for kind, path, credential in READS[system_name]:
                say(f"{name}: {system_name}, GET {path}, {credential}")
                self.read(f"{system_name}_{kind}", system, path, getattr(system, credential))
        for system_name, system in self.systems.items():
            say(f"{name}: {system_name}, GET /users/me, {self.rate} a second")
            url = f"{system.url}/users/me"
            self.now["latency"][system_name] = load.gets_in_peace(url, system.bearer, self.rate)

    def read(self, name, system, path, header):
        """Requests a second, and what one costs each process in microseconds of a core."""
        pids = {**system.pids, "Postgres": self.database.pid}
        before = {process: processor_time_of(pid) for process, pid in pids.items()}
        rate = self.load.gets(system.url + path, header, self.memory_later(f"reads of {name}"))
        self.now["rates"][name] = rate
        if None not in before.values():
            answers = rate * self.load.seconds
            self.now["processor_micros"][name] = {
                process: (processor_time_of(pid) - before[process]) / answers * 1e6 for process, pid in pids.items()
            }

    def hashes(self, name):
        rates, load = self.now["rates"], self.load
        say(f"{name}: bcrypt")
        rates["raw_bcrypt"] = load.hashes(BCRYPT_COST)
        for system_name, system in self.systems.items():
            say(f"{name}: {system_name}, logins")
            meanwhile = self.memory_later(f"logins of {system_name}")
            rates[f"{system_name}_logins"] = load.logins(system.port, EMAIL, PASSWORD, meanwhile)


if __name__ == "__main__":
    sys.exit(main())
