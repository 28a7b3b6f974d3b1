"""Starts processes, and leaves none behind."""
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Failed(Exception):
    """Why there is no result, in one line."""


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Processes:
    """All that has been started and not ended, each in a session of its own, where Ctrl-C does not reach it: they are
    stopped in their turn, the last first."""

    def __init__(self, logs):
        self.logs = logs
        self.running = []
        self.last_steps = []

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.interrupted)
        return self

    @staticmethod
    def interrupted(number, _frame):
        raise SystemExit(128 + number)

    def __exit__(self, *_):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for process in reversed(self.running):
            stop(process)
        for step in reversed(self.last_steps):
            step()

    def at_the_end(self, step):
        self.last_steps.append(step)

    def start(self, name, command, variables=None, clean=True):
        """Starts a service whose log goes to a file. Nothing of the caller's environment reaches it but this."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment = {**(kept if clean else os.environ), **(variables or {})}
        with open(self.logs / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                [str(part) for part in command], cwd=ROOT, env=environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )
        process.name = name
        self.running.append(process)
        return process

    def end(self, process, first=signal.SIGTERM):
        """Ends a service, and returns what it has printed."""
        stop(process, first)
        self.running.remove(process)
        return (self.logs / f"{process.name}.log").read_text(errors="replace")

    def run(self, command, variables=None, stdin=None, meanwhile=None):
        """Runs a tool to its end, and returns what it prints. `meanwhile` is done when it has begun."""
        command = [str(part) for part in command]
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(variables or {})}, start_new_session=True, text=True,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=subprocess.PIPE,
        )
        self.running.append(process)
        if meanwhile:
            meanwhile()
        output, _ = process.communicate(stdin)
        self.running.remove(process)
        if process.returncode != 0:
            raise Failed(f"{Path(command[0]).name} failed with {process.returncode}: {' '.join(command[1:])}")
        return output

    def wait_until(self, process, is_ready, seconds=60):
        """Waits until a service is ready."""
        end = time.monotonic() + seconds
        while not is_ready():
            if process.poll() is not None or time.monotonic() > end:
                log = (self.logs / f"{process.name}.log").read_text(errors="replace")
                raise Failed(f"{process.name} does not start; the end of its log:\n{log[-2000:]}")
            time.sleep(0.1)


def stop(process, first=signal.SIGTERM):
    for number, seconds in ((first, 15), (signal.SIGKILL, 15)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


def family(pid):
    """The process and all below it."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True)
    parents = dict(map(int, line.split()) for line in listed.stdout.splitlines())
    found = [pid]
    for one in found:
        found.extend(child for child, parent in parents.items() if parent == one)
    return found


def memory_of(pid):
    """What the process and all below it have in memory, in bytes."""
    pids = ",".join(map(str, family(pid)))
    listed = subprocess.run(["ps", "-o", "rss=", "-p", pids], check=True, capture_output=True, text=True)
    return sum(map(int, listed.stdout.split())) * 1024


def own_memory_of(pid):
    """What the process alone has written to memory, in bytes: without the program, of which others share more or less.
    Where the system does not say it, all that it has in memory."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except FileNotFoundError:
        return memory_of(pid)
    return int(re.search(r"^Private_Dirty: +(\d+) kB$", rollup, re.MULTILINE)[1]) * 1024


def processor_time_of(pid):
    """How long the process and all below it, also those that have ended, have computed, in seconds; None where the
    system has no /proc."""
    if not os.path.exists("/proc/self/stat"):
        return None
    ticks = 0
    for one in family(pid):
        try:
            ticks += sum(map(int, Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except FileNotFoundError:
            pass  # it has ended meanwhile
    return ticks / os.sysconf("SC_CLK_TCK")
