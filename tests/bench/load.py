"""Makes load, and says how much of it there was. What goes wrong fails the run."""
import http.client
import json
import re
import threading
import time
import urllib.parse

from processes import ROOT, Failed

THREADS = 2


class Load:
    """The tools, and how long and on how many connections they work."""

    def __init__(self, processes, cores, seconds, connections):
        self.processes, self.cores, self.seconds, self.connections = processes, cores, seconds, connections

    def gets(self, url, header="", meanwhile=None):
        """GETs a second, as many as there can be."""
        answer = self.wrk(url, header, ["-t", THREADS, "-c", self.connections], {}, meanwhile)
        return answer["requests"] / answer["micros"] * 1e6

    def gets_in_peace(self, url, header, rate, connections=16):
        """The rate really reached, and the times that half and 99 % of the answers took at most, in milliseconds."""
        pause = {"BENCH_PAUSE_MS": str(round(connections / rate * 1000))}
        answer = self.wrk(url, header, ["-t", 1, "-c", connections], pause)
        return {
            "rate": answer["requests"] / answer["micros"] * 1e6,
            "p50": answer["p50"] / 1000,
            "p99": answer["p99"] / 1000,
        }

    def wrk(self, url, header, options, variables, meanwhile=None):
        script = ROOT / "tests/bench/wrk.lua"
        command = ["wrk", *options, "-d", f"{self.seconds}s", "--timeout", "8s", "-s", script, url]
        printed = self.processes.run(command, {"BENCH_HEADER": header, **variables}, meanwhile=meanwhile)
        answer = json.loads(printed.splitlines()[-1])
        if answer["failed"] or answer["refused"] or not answer["requests"]:
            raise Failed(f"GET {url}: of {answer['requests']} answers {answer['refused']} are of 400 and above, and "
                         f"{answer['failed']} requests failed")
        return answer

    def selects(self, database, script, variables):
        """Runs of a script of SQL a second."""
        values = [part for name, value in variables.items() for part in ("-D", f"{name}={value}")]
        printed = self.processes.run(
            [database.program("pgbench"), "-n", "-M", "prepared", "-T", self.seconds, "-c", self.connections,
             "-j", THREADS, *values, "-f", script, database.name],
            database.environment(),
        )
        failed = re.search(r"number of failed transactions: (\d+)", printed)
        if failed and failed[1] != "0":
            raise Failed(f"pgbench: {failed[1]} runs of the script failed")
        return float(re.search(r"tps = ([\d.]+) \(without", printed)[1])

    def hashes(self, cost):
        """Hashes a second on all cores, at the priority that identity-service gives its hash threads."""
        program = ROOT / "target/release/raw_bcrypt"
        return float(self.processes.run(["nice", "-n", 10, program, cost, self.cores, self.seconds]))

    def logins(self, port, email, password, meanwhile=None):
        """Logins a second. Each of some clients logs in again when he has been logged in. Counted are those after each
        core has ended its first, to the last, so that half a hash at either end is not taken for slowness."""
        form = urllib.parse.urlencode({"username": email, "password": password})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        times, failures = [], []
        end, least = time.monotonic() + self.seconds, 4 * self.cores

        def client():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                while not failures and (time.monotonic() < end or len(times) < least):
                    connection.request("POST", "/auth/jwt/login", form, headers)
                    answer = connection.getresponse()
                    answer.read()
                    times.append(time.monotonic())
                    if answer.status != 200:
                        failures.append(f"answered with {answer.status}")
                connection.close()
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))

        # One waits while another is hashed, so that no core is idle; nobody has to be refused.
        clients = [threading.Thread(target=client, daemon=True) for _ in range(2 * self.cores)]
        for one in clients:
            one.start()
        if meanwhile:
            meanwhile()
        for one in clients:
            one.join()
        if failures:
            raise Failed(f"{len(failures)} logins failed, the first: {failures[0]}")
        counted = sorted(times)[:max(least, sum(moment <= end for moment in times))]
        return (len(counted) - self.cores) / (counted[-1] - counted[self.cores - 1])
