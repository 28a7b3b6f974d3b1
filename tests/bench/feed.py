"""How soon an ended token is refused: from the answer of a logout to the first refusal by the last of the gateways."""
import http.client
import time
from contextlib import nullcontext

from portcullis import Portcullis
from processes import Failed, say
from systems import EMAIL, PASSWORD

GATEWAYS = 2
# Cheap, so that there are enough sessions soon.
BCRYPT_COST = 10
# How long an ended token may still be accepted, in seconds, whatever happens.
LAW = 2
# How many a core log in at once during the flood: the queue of hashes has room for two seconds of work, some 30 a core.
FLOOD_CLIENTS = 128


def measure(processes, database, load, count):
    """So many logouts in peace, and as many while more log in than can be hashed."""
    say("starting another Portcullis, with two gateways")
    portcullis = Portcullis(processes, database.create("feed"), "feed-", BCRYPT_COST)
    gateways = [portcullis.start_gateway(f"gateway-{number}") for number in range(GATEWAYS)]
    gateways[0].log_in()
    feed = Feed([gateway.port for gateway in gateways], load, count)
    result = {"gateways": GATEWAYS, "bcrypt_cost": BCRYPT_COST, "calm": feed.logouts("calm", nullcontext({}))}
    flood = load.flood([gateway.port for gateway in gateways], EMAIL, PASSWORD, FLOOD_CLIENTS * load.cores)
    result["flood"] = feed.logouts("under a flood of logins", flood)
    return result


class Feed:
    """The gateways, of which the first is told of the logouts."""

    def __init__(self, ports, load, count):
        self.ports, self.load, self.count = ports, load, count

    def logouts(self, name, meanwhile):
        """After how many seconds each gateway refused each token, and what the load that was on meanwhile says."""
        say(f"{self.count} logins")
        tokens = self.load.tokens(self.ports[0], EMAIL, PASSWORD, self.count)
        say(f"{self.count} logouts {name}")
        # Only now: those of before would have been idle for longer than they are kept.
        self.gateways = [Gateway(port) for port in self.ports]
        with meanwhile as load:
            refused_after = [self.log_out(token) for token in tokens]
        for token in tokens:
            for gateway in self.gateways:
                gateway.must_refuse(token)
        return {"refused_after": refused_after, "load": load}

    def log_out(self, token):
        for gateway in self.gateways:
            gateway.must_accept(token)
        status = self.gateways[0].ask("POST", "/auth/jwt/logout", token)
        answered = time.perf_counter()
        if status != 204:
            raise Failed(f"a logout is answered with {status}")
        refused_after = {}
        while len(refused_after) < len(self.gateways):
            for gateway in self.gateways:
                if gateway in refused_after:
                    gateway.must_refuse(token)
                    continue
                status, after = gateway.check(token), time.perf_counter() - answered
                if status == 401:
                    refused_after[gateway] = after
                if after > LAW:
                    raise Failed(f"{after:.2f} s after a logout GET /auth/check is answered with {status}")
        return [refused_after[gateway] for gateway in self.gateways]


class Gateway:
    """A connection to a gateway that is kept."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, method, path, token):
        """The status of the answer."""
        self.connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
        answer = self.connection.getresponse()
        answer.read()
        return answer.status

    def check(self, token):
        """204: the token is accepted; 401: it is refused; 503: it is not known here, nor can be asked."""
        status = self.ask("GET", "/auth/check", token)
        if status not in (204, 401, 503):
            raise Failed(f"GET /auth/check is answered with {status}")
        return status

    def must_accept(self, token):
        end = time.monotonic() + 10
        while (status := self.check(token)) == 503 and time.monotonic() < end:
            time.sleep(0.01)
        if status != 204:
            raise Failed(f"before the logout GET /auth/check is answered with {status}")

    def must_refuse(self, token):
        status = self.check(token)
        if status != 401:
            raise Failed(f"after a refusal of the same token GET /auth/check is answered with {status}")
