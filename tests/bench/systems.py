"""What is measured beside the machine, on one Postgres; portcullis.py starts Portcullis."""
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from processes import ROOT, Failed

EMAIL, PASSWORD = "king.arthur@camelot.bt", "guinevere"
BCRYPT_COST = 12
# So many other users are in the tables, each with a session.
OTHERS = 10_000
# What is read of each system: how the measurement is called, the path, and the credential that is sent.
READS = {
    "portcullis": [("bearer", "/users/me", "bearer"), ("cookie", "/users/me", "cookie"),
                   ("check", "/auth/check", "bearer")],
    "uncached": [("bearer", "/users/me", "bearer"), ("check", "/auth/check", "bearer")],
    "peer": [("bearer", "/users/me", "bearer"), ("cookie", "/users/me", "cookie")],
}


class Database:
    """A private Postgres cluster in a folder of this run, which is removed in the end."""

    def __init__(self, processes, folders):
        self.processes = processes
        remove_leftovers(folders)
        self.folder = folders.with_name(f"{folders.name}.{os.getpid()}")
        processes.at_the_end(lambda: remove_cluster(self.folder))
        script = ROOT / "deploy/local/postgres"
        self.url = processes.run([script, "start", self.folder]).strip()
        parts = urllib.parse.urlsplit(self.url)
        self.host, self.port, self.user, self.password = parts.hostname, parts.port, parts.username, parts.password
        self.name = parts.path[1:]
        self.programs = os.path.dirname((self.folder / "data/postmaster.opts").read_text().split()[0])
        self.pid = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        self.version = self.ask("SHOW server_version").split()[0]

    def program(self, name):
        return f"{self.programs}/{name}"

    def environment(self):
        return {
            "PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": self.user, "PGPASSWORD": self.password,
            "PGOPTIONS": "", "PGDATABASE": self.name,
        }

    def create(self, name):
        """Makes another database, and returns its URL."""
        self.ask(f"CREATE DATABASE {name}")
        return urllib.parse.urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def ask(self, statements, name=None):
        """Runs SQL, and returns what it gives."""
        psql = [self.program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", name or self.name]
        return self.processes.run(psql, self.environment(), stdin=statements).strip()


def remove_cluster(folder):
    subprocess.run([ROOT / "deploy/local/postgres", "stop", folder, "immediate"], check=False, stdin=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(folders):
    """Those of runs that were killed."""
    for folder in folders.parent.glob(f"{folders.name}.*"):
        pid = folder.suffix[1:]
        owner = subprocess.run(["ps", "-o", "args=", "-p", pid], check=False, capture_output=True, text=True).stdout
        if "bench.py" not in owner:
            remove_cluster(folder)


class System:
    """A running server with one user who is logged in. `pids` are its processes by name."""

    def __init__(self, port, pids):
        self.port, self.pids = port, pids
        self.url = f"http://127.0.0.1:{port}"

    def log_in(self):
        body = json.dumps({"email": EMAIL, "password": PASSWORD}).encode()
        user = self.ask("/auth/register", body, {"Content-Type": "application/json"})["id"]
        form = urllib.parse.urlencode({"username": EMAIL, "password": PASSWORD}).encode()
        self.use(user, self.ask("/auth/jwt/login", form)["access_token"])

    def use(self, user, token):
        """Sends this token, once it is seen that it is the user's."""
        self.id, self.token = user, token
        self.bearer = f"Authorization: Bearer {self.token}"
        self.cookie = f"Cookie: fastapiusersauth={self.token}"
        for header in (self.bearer, self.cookie):
            me = self.ask("/users/me", None, dict([header.split(": ", 1)]))
            if me["id"] != self.id or me["email"] != EMAIL:
                raise Failed(f"GET /users/me shows somebody else: {me}")

    def ask(self, path, body=None, headers=None):
        request = urllib.request.Request(self.url + path, body, headers or {})
        try:
            with opener.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Failed(f"{path} answers with {error.code}: {error.read().decode(errors='replace')}") from error

    def answers(self, path):
        """Whether it serves: any answer but "not now" will do."""
        try:
            return opener.open(self.url + path, timeout=5).status == 200
        except urllib.error.HTTPError as error:
            return error.code != 503
        except OSError:
            return False


opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fill(database):
    """Puts other users beside ours, each with a session."""
    database.ask(f"""
        INSERT INTO users (id, email, email_canonical, password_scheme, password_hash)
            SELECT gen_random_uuid(), n || '@example.com', n || '@example.com', 'v1', repeat('x', 60)
            FROM generate_series(1, {OTHERS}) n;
        INSERT INTO sessions (id, user_id, created_at, expires_at)
            SELECT gen_random_uuid(), id, now(), now() + interval '1 hour' FROM users WHERE password_hash LIKE 'xxx%';
        VACUUM ANALYZE users;
        VACUUM ANALYZE sessions;
    """)


PEER_WORKERS = 2


def start_peer(processes, database):
    """FastAPI Users under uvicorn, on the same Postgres, in another database."""
    python, port = ROOT / "target/tools/peer/bin/python", free_port()
    url = database.create("peer")
    variables = {
        "PEER_DATABASE_URL": urllib.parse.urlsplit(url)._replace(scheme="postgresql+asyncpg").geturl(),
        "PEER_SECRET": secrets.token_hex(32),
        "PYTHONPATH": str(ROOT / "tests/bench"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    processes.run([python, "-c", "import asyncio, peer_app; asyncio.run(peer_app.make_tables())"], variables)
    uvicorn = processes.start("peer", [
        python, "-m", "uvicorn", "peer_app:app", "--port", port, "--workers", PEER_WORKERS, "--loop", "uvloop",
        "--http", "httptools", "--no-access-log", "--log-level", "warning",
    ], variables)
    system = System(port, {f"uvicorn, {PEER_WORKERS} workers": uvicorn.pid})
    processes.wait_until(uvicorn, lambda: system.answers("/users/me"))
    system.log_in()
    database.ask(f"""
        INSERT INTO "user" (id, email, hashed_password, is_active, is_superuser, is_verified)
            SELECT gen_random_uuid(), n || '@example.com', repeat('x', 60), true, false, false
            FROM generate_series(1, {OTHERS}) n;
        VACUUM ANALYZE "user";
    """, "peer")
    return system


def peer_versions(processes):
    python = ROOT / "target/tools/peer/bin/python"
    script = "import fastapi_users, platform, uvicorn; " \
             "print(fastapi_users.__version__, uvicorn.__version__, platform.python_version())"
    return processes.run([python, "-c", script]).split()


def free_port():
    """A port below those that the system gives to outgoing connections."""
    while True:
        port = random.randint(20_000, 29_999)
        if not listens(port):
            return port


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
