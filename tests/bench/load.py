"""Makes load, and says how much of it there was. What goes wrong fails the run."""
import http.client
import json
import re
import signal
import threading
import time
import urllib.parse
from contextlib import contextmanager

from processes import ROOT, Failed

THREADS = 2
SCRIPT = ROOT / "tests/bench/wrk.lua"
FORM = "application/x-www-form-urlencoded"
# After so many seconds there is no more room in the queue of hashes.
FLOOD_BEGINS = 3


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
        command = ["wrk", *options, "-d", f"{self.seconds}s", "--timeout", "8s", "-s", SCRIPT, url]
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

    def tokens(self, port, email, password, count):
        """So many access tokens, each of a login of its own."""
        clients, tokens = 2 * self.cores, []

        def client(connection, index, failures):
            for _ in range(index, count, clients):
                if not failures:
                    tokens.append(log_in(connection, email, password))

        at_once(clients, port, client)
        return tokens

    @contextmanager
    def flood(self, ports, email, password, connections):
        """Meanwhile so many clients log in, spread over the servers; who is refused with 503 tries again at once. In
        the end, what is given says how many logins a second they tried, and how many succeeded."""
        form = urllib.parse.urlencode({"username": email, "password": password})
        variables = {"BENCH_HEADER": f"Content-Type: {FORM}", "BENCH_BODY": form}
        floods = [self.processes.start(f"flood-{port}", [
            "wrk", "-t", 1, "-c", connections // len(ports), "-d", "1h", "--timeout", "8s", "-s", SCRIPT,
            f"http://127.0.0.1:{port}/auth/jwt/login",
        ], variables) for port in ports]
        time.sleep(FLOOD_BEGINS)
        load = {}
        yield load
        answers = [json.loads(self.processes.end(flood, signal.SIGINT).splitlines()[-1]) for flood in floods]
        if any(answer["failed"] or answer["strange"] for answer in answers):
            raise Failed(f"some logins of the flood failed, or were answered neither with 200 nor with 503: {answers}")
        load["clients"] = connections
        load["tried"] = sum(answer["requests"] / answer["micros"] * 1e6 for answer in answers)
        load["done"] = sum((answer["requests"] - answer["refused"]) / answer["micros"] * 1e6 for answer in answers)
        if load["tried"] < 2 * load["done"]:
            raise Failed(f"the flood of logins was none: {load}")

    def logins(self, port, email, password, meanwhile=None):
        """Logins a second. Each of some clients logs in again when he has been logged in. Counted are those after each
        core has ended its first, to the last, so that half a hash at either end is not taken for slowness."""
        times = []
        end, least = time.monotonic() + self.seconds, 4 * self.cores

        def client(connection, _, failures):
            while not failures and (time.monotonic() < end or len(times) < least):
                log_in(connection, email, password)
                times.append(time.monotonic())

        # One waits while another is hashed, so that no core is idle; nobody has to be refused.
        at_once(2 * self.cores, port, client, meanwhile)
        counted = sorted(times)[:max(least, sum(moment <= end for moment in times))]
        return (len(counted) - self.cores) / (counted[-1] - counted[self.cores - 1])


def at_once(clients, port, client, meanwhile=None):
    """Has so many clients do the same at once, each on a connection of his own."""
    failures = []

    def connected(index):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            client(connection, index, failures)
            connection.close()
        except (OSError, http.client.HTTPException, Failed) as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=connected, args=(index,), daemon=True) for index in range(clients)]
    for thread in threads:
        thread.start()
    if meanwhile:
        meanwhile()
    for thread in threads:
        thread.join()
    if failures:
        raise Failed(f"{len(failures)} clients failed, the first: {failures[0]}")


def log_in(connection, email, password):
    """Logs in once, and returns the token."""
    form = urllib.parse.urlencode({"username": email, "password": password})
    connection.request("POST", "/auth/jwt/login", form, {"Content-Type": FORM})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise Failed(f"a login is answered with {answer.status}")
    return json.loads(body)["access_token"]
