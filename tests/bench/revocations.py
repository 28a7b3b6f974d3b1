"""What the revocations that a gateway remembers cost it: memory, and time until it is ready."""
import time

from portcullis import Portcullis
from processes import Failed, own_memory_of, say

# With so many in the table; the last is the most that a gateway remembers.
COUNTS = (0, 100_000, 1_000_000)
# So many are put in by one transaction.
PIECE = 10_000


def measure(processes, database, starts, counts=COUNTS):
    """So many starts of a gateway with each count: after how many seconds it was ready, and its memory in bytes."""
    say("starting another Portcullis")
    portcullis = Portcullis(processes, database.create("revocations"), "revocations-")
    result = []
    for before, count in zip((0, *counts), counts):
        say(f"{starts} starts of a gateway with {count} revocations")
        insert = f"""
            INSERT INTO revocations (session_id, expires_at)
                SELECT gen_random_uuid(), now() + interval '2 hours' FROM generate_series(1, {PIECE});
        """
        database.ask(insert * ((count - before) // PIECE) + "VACUUM ANALYZE revocations;", "revocations")
        found = [start(processes, portcullis) for _ in range(starts)]
        result.append({"count": count, **{key: [one[key] for one in found] for key in ("ready_after", "memory")}})
    return result


def start(processes, portcullis):
    began = time.perf_counter()
    process, gateway = portcullis.begin_gateway()
    while not gateway.answers("/health/ready"):
        if process.poll() is not None or time.perf_counter() - began > 60:
            raise Failed("a gateway does not become ready")
        time.sleep(0.001)
    ready_after = time.perf_counter() - began
    time.sleep(0.5)
    memory = own_memory_of(process.pid)
    processes.end(process)
    return {"ready_after": ready_after, "memory": memory}
