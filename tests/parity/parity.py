#!/usr/bin/env python3
"""Black-box parity harness for the FastAPI Users HTTP API.

  parity.py record --base-url URL --make-superuser CMD [--token-file F] [--out reference.json]
  parity.py check  --base-url URL --make-superuser CMD [--token-file F] --reference reference.json
                   [--tier strict|shape] [--allow FILE] [--no-needless] [--only GLOB] [--report OUT.json] [-q]
  parity.py list   [--only GLOB]
  (all modes: --profile verified runs the cases for a server that requires verified e-mails)

CMD is a shell command in which {email} stands for the (quoted) e-mail of the user that must
become a superuser.  --token-file is a JSON-lines file the server appends to:
  {"kind": "reset"|"verify", "email": "...", "token": "..."}
Without it the cases that need a mailed token are skipped.  --secret is the HS256 secret of the
server under test; with --secret '' the cases that forge tokens are skipped.

Only httpx and the standard library are used.  One request at a time; nothing but --base-url is
contacted.
"""
from __future__ import annotations

import argparse
import base64
import fnmatch
import hashlib
import hmac
import json
import os
import re
import shlex
import subprocess
import sys
import time
import uuid
from urllib.parse import quote_plus, urlsplit

import httpx

DEFAULT_SECRET = "parity-secret-0123456789-abcdefghij-KLMNOP"
DOMAIN = "camelot-example.com"
PW = "guinevere-1"
PW2 = "excalibur-2"
COOKIE = "fastapiusersauth"
AUD_AUTH = "fastapi-users:auth"
AUD_RESET = "fastapi-users:reset"
AUD_VERIFY = "fastapi-users:verify"
UNKNOWN_ID = "00000000-0000-4000-8000-00000000dead"
HEADERS = ("content-type", "allow", "www-authenticate", "set-cookie", "cache-control", "location")

UUID_RE = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
JWT_RE = re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
ARGON_RE = re.compile(r"\$argon2id\$[A-Za-z0-9+/=,$]+")


# --------------------------------------------------------------------------- small tools


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sign(claims, secret: str, *, alg: str = "HS256", header: dict | None = None) -> str:
    """A compact JWS; `claims` is a dict or raw bytes.  alg may also be HS384, HS512 or none."""
    head = {"alg": alg, "typ": "JWT"} if header is None else header
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = b64(json.dumps(head).encode()) + "." + b64(payload)
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(alg)
    mac = hmac.new(secret.encode(), signed.encode(), digest).digest() if digest else b""
    return signed + "." + b64(mac)


def peek(token: str) -> tuple[dict, dict] | None:
    """Header and claims of a JWT without verification, or None."""
    try:
        head, body, _ = token.split(".")
        return json.loads(unb64(head)), json.loads(unb64(body))
    except Exception:
        return None


def form(*pairs, **fields) -> bytes:
    items = list(pairs) + list(fields.items())
    return "&".join(f"{quote_plus(k)}={quote_plus(v)}" for k, v in items).encode()


BOUNDARY = "----parityboundary7f3a"


def multipart(*parts, end: bool = True) -> bytes:
    """parts: (name, value) or (name, value, extra-disposition-text)."""
    out = b""
    for part in parts:
        name, value = part[0], part[1]
        extra = part[2] if len(part) > 2 else ""
        out += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
        out += (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    return out + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


URLENC = "application/x-www-form-urlencoded"
MULTI = f"multipart/form-data; boundary={BOUNDARY}"
JSON = "application/json"


class Setup(Exception):
    """A precondition of a case could not be established on this server."""


class User:
    def __init__(self, label: str, email: str, password: str):
        self.label, self.email, self.password = label, email, password
        self.id = ""
        self.token = ""


class Reply:
    def __init__(self, method: str, path: str, resp: httpx.Response):
        self.method, self.path = method, path
        self.status = resp.status_code
        self.headers = resp.headers
        self.content = resp.content
        self.at = time.time()

    def json(self):
        try:
            return json.loads(self.content)
        except ValueError:
            return None

    def field(self, name: str, default=None):
        body = self.json()
        return body.get(name, default) if isinstance(body, dict) else default


# --------------------------------------------------------------------------- context


class Ctx:
    """One run against one server: HTTP client, user factory, masks."""

    def __init__(self, args):
        self.base = args.base_url.rstrip("/")
        self.secret = args.secret
        self.su_cmd = args.make_superuser
        self.token_file = args.token_file
        self.mail_timeout = args.mail_timeout
        self.mail_quiet = args.mail_quiet
        self.run = "r" + uuid.uuid4().hex[:9]
        self.timeout = args.timeout
        self.insecure = args.insecure
        self.throttled = 0
        self.shared: dict[str, User] = {}
        self.ids: dict[str, str] = {}
        self.case = ""
        self.serial = 0
        self.aliases: dict[str, str] = {}
        self.pool: dict[tuple, User] = {}
        self.pool_made = 0
        self.borrowed: list[tuple[tuple, User]] = []
        self.spoiled = False
        self.minted: dict[tuple, str] = {}
        self.profile = args.profile
        self.log: list[str] = []
        self.requests = 0
        self._su: User | None = None
        self._su_error: str | None = None
        self._open()

    def _open(self):
        self.client = httpx.Client(
            timeout=self.timeout, follow_redirects=False, trust_env=False, verify=not self.insecure,
            headers={"accept": "*/*", "user-agent": "parity/1"},
        )

    # -- HTTP

    def req(self, method, path, *, body=..., content=None, ctype=None, token=None, cookie=None,
            headers=(), target=None) -> Reply:
        """Send one request.  body= sends JSON; content= sends bytes with ctype (or none)."""
        hdrs = list(headers)
        if body is not ...:
            content = json.dumps(body).encode()
            ctype = ctype or JSON
        if ctype:
            hdrs.append(("content-type", ctype))
        if token is not None:
            hdrs.append(("authorization", f"Bearer {token}"))
        if cookie is not None:
            hdrs.append(("cookie", f"{COOKIE}={cookie}"))
        ext = {"target": target.encode()} if target else {}
        self.log.append(self.mask(f"{method} {target or path}"))
        last: Exception | None = None
        for _attempt in (1, 2):
            self.requests += 1
            try:
                request = self.client.build_request(
                    method, self.base + path, content=content, headers=hdrs, extensions=ext)
                resp = self.client.send(request)
                self.client.cookies.clear()
                self.throttled += resp.status_code == 429
                if resp.status_code >= 500:              # uvicorn resets the connection after an unhandled error
                    self.client.close()
                    self._open()
                if method == "PATCH" and resp.status_code == 200 and isinstance(body, dict) and body.get("password"):
                    self.spoiled = True                  # the user's password is no longer the known one
                return Reply(method, path, resp)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError,
                    httpx.ConnectError) as exc:
                last = exc
                self.client.close()
                self._open()
        raise Setup(f"transport: {type(last).__name__}")

    def get(self, path, **kw):
        return self.req("GET", path, **kw)

    def post(self, path, **kw):
        return self.req("POST", path, **kw)

    def patch(self, path, **kw):
        return self.req("PATCH", path, **kw)

    def delete(self, path, **kw):
        return self.req("DELETE", path, **kw)

    # -- users

    def addr(self, key: str) -> str:
        return f"{key}.{self.run}@{DOMAIN}"

    def register(self, email, password=PW, **extra) -> Reply:
        return self.post("/auth/register", body={"email": email, "password": password, **extra})

    def login(self, email, password=PW, backend="jwt") -> Reply:
        return self.post(f"/auth/{backend}/login", content=form(username=email, password=password), ctype=URLENC)

    def me(self, token) -> Reply:
        return self.get("/users/me", token=token)

    def know(self, user: User):
        if user.id:
            self.ids[user.id.lower()] = user.label

    def _make(self, label, email, password, login, verified, inactive, superuser) -> User:
        user = User(label, email, password)
        r = self.register(email, password)
        if r.status != 201 or not r.field("id"):
            raise Setup(f"register of {label} gave {r.status}")
        user.id = r.field("id")
        self.know(user)
        if self.profile == "verified" and login:
            if self.post("/auth/verify", body={"token": self.verify_token(user)}).status != 200:
                raise Setup(f"could not verify {label}")
        if login:
            user.token = self.token(user)
        flags = {"is_verified": False} if self.profile == "verified" and login and not verified else {}
        if verified:
            flags["is_verified"] = True
        if inactive:
            flags["is_active"] = False
        if superuser:
            flags["is_superuser"] = True
        if flags:
            self.admin(user, **flags)
        return user

    def token(self, user: User) -> str:
        r = self.login(user.email, user.password)
        tok = r.field("access_token")
        if r.status != 200 or not tok:
            raise Setup(f"login of {user.label} gave {r.status}")
        return tok

    def user(self, key: str, *, login=True, verified=False, inactive=False, superuser=False) -> User:
        """A shared user, created on first use; its state must not be changed by a case."""
        if key not in self.shared:
            self.shared[key] = self._make(key, self.addr(key), PW, login, verified, inactive, superuser)
        return self.shared[key]

    def fresh(self, *, login=True, verified=False, inactive=False, superuser=False) -> User:
        """A new user that belongs to the current case."""
        self.serial += 1
        slug = re.sub(r"[^a-z0-9]+", "-", self.case.lower()).strip("-")
        key = f"{slug[:38].strip('-')}-{self.serial}"
        self.alias(key, f"own{self.serial}")
        return self._make(f"own{self.serial}", self.addr(key), PW, login, verified, inactive, superuser)

    def alias(self, key: str, label: str) -> None:
        """Show the local part key.run as <label> in the observations of this case."""
        self.aliases[f"{key}.{self.run}"] = f"<{label}>"
        self.aliases[f"{key}.{self.run}".upper()] = f"<{label.upper()}>"

    def pooled(self, *, verified=False, superuser=False) -> User:
        """A logged-in user to change: reused by later cases if it can be put back as it was."""
        kind = (verified, superuser)
        user = self.pool.pop(kind, None)
        if user is None:
            self.pool_made += 1
            key = f"pool{self.pool_made}"
            user = self._make(key, self.addr(key), PW, True, verified, False, superuser)
            user.label = key
        self.serial += 1
        self.alias(user.label, f"own{self.serial}")
        self.ids[user.id.lower()] = f"own{self.serial}"
        self.borrowed.append((kind, user))
        return user

    def put_back(self) -> None:
        """Restore the pooled users of the case that just ran; drop those that cannot be restored."""
        for kind, user in self.borrowed:
            want = {"email": user.email, "is_active": True, "is_superuser": kind[1], "is_verified": kind[0]}
            try:
                pristine = not self.spoiled and self._looks(user, want)
                if not pristine and not self.spoiled:
                    self.patch(f"/users/{user.id}", body=want, token=self.su.token)
                    pristine = self._looks(user, want)
            except Exception:
                pristine = False
            if pristine:
                self.pool[kind] = user
        self.borrowed, self.spoiled, self.aliases = [], False, {}

    def _looks(self, user: User, want: dict) -> bool:
        body = self.me(user.token).json()
        return isinstance(body, dict) and all(body.get(k) == v for k, v in want.items())

    def once(self, mint, user: User) -> str:
        """A mailed token of a shared user, minted once per run."""
        key = (mint.__name__, user.id)
        if key not in self.minted:
            self.minted[key] = mint(user)
        return self.minted[key]

    @property
    def su(self) -> User:
        """The superuser of this run.  A failure is remembered, so that it costs time only once."""
        if self._su is None:
            if self._su_error is None:
                try:
                    self._su = self._make_su()
                    return self._su
                except Setup as exc:
                    self._su_error = str(exc)
                    print(f"NO SUPERUSER: {exc}", file=sys.stderr)
            raise Setup(f"no superuser: {self._su_error}")
        return self._su

    def _make_su(self) -> User:
        email = self.addr("merlin")
        r = self.register(email)
        if r.status != 201:
            raise Setup(f"register gave {r.status}")
        user = User("su", email, PW)
        user.id = str(r.field("id") or "")
        self.know(user)
        cmd = self.su_cmd.replace("{email}", shlex.quote(email))
        done = subprocess.run(cmd, shell=True, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Setup(f"--make-superuser exited {done.returncode}: {(done.stdout + done.stderr).strip()[-300:]}")
        if self.profile == "verified":
            self.post("/auth/verify", body={"token": self.verify_token(user)})
        user.token = self.token(user)
        if self.me(user.token).field("is_superuser") is not True:
            raise Setup("--make-superuser ran but /users/me does not show is_superuser: true")
        return user

    def admin(self, user: User, **change) -> Reply:
        r = self.patch(f"/users/{user.id}", body=change, token=self.su.token)
        if r.status != 200:
            raise Setup(f"superuser PATCH {sorted(change)} gave {r.status}")
        return r

    def forge(self, user: User | None = None, *, alg="HS256", secret=None, header=None, drop=(), **over) -> str:
        claims = {"sub": user.id if user else UNKNOWN_ID, "aud": [AUD_AUTH], "exp": int(time.time()) + 600}
        claims.update(over)
        for name in drop:
            claims.pop(name, None)
        return sign(claims, self.secret if secret is None else secret, alg=alg, header=header)

    # -- mailed tokens

    def mark(self) -> int:
        try:
            return os.path.getsize(self.token_file)
        except OSError:
            return 0

    def mails(self, pos: int, kind: str, expect: bool) -> list[dict]:
        """Records of `kind` appended since `pos`; waits for one if expected, briefly if not."""
        limit = time.time() + (self.mail_timeout if expect else self.mail_quiet)
        while True:
            found = []
            try:
                with open(self.token_file, "rb") as src:
                    src.seek(pos)
                    for line in src.read().splitlines():
                        try:
                            rec = json.loads(line)
                        except ValueError:
                            continue
                        if isinstance(rec, dict) and rec.get("kind") == kind and \
                                self.run in str(rec.get("email", "")).lower():
                            found.append(rec)
            except OSError:
                pass
            if (expect and found) or time.time() >= limit:
                return found
            time.sleep(0.05)

    def reset_token(self, user: User) -> str:
        pos = self.mark()
        r = self.post("/auth/forgot-password", body={"email": user.email})
        got = self.mails(pos, "reset", True)
        if not got:
            raise Setup(f"no reset token was mailed (forgot-password gave {r.status})")
        return got[-1]["token"]

    def verify_token(self, user: User) -> str:
        pos = self.mark()
        r = self.post("/auth/request-verify-token", body={"email": user.email})
        got = self.mails(pos, "verify", True)
        if not got:
            raise Setup(f"no verify token was mailed (request-verify-token gave {r.status})")
        return got[-1]["token"]

    # -- masks

    def mask(self, text: str) -> str:
        text = JWT_RE.sub("<jwt>", text)
        text = ARGON_RE.sub("<argon2id>", text)
        text = text.replace(self.base, "<base>").replace(urlsplit(self.base).netloc, "<host>")
        text = UUID_RE.sub(lambda m: f"<uuid:{self.ids[m[0].lower()]}>" if m[0].lower() in self.ids
                           else (m[0] if m[0] == UNKNOWN_ID else "<uuid>"), text)
        for plain, shown in self.aliases.items():
            text = text.replace(plain, shown)
        text = text.replace(self.run, "<run>").replace(self.run.upper(), "<RUN>")
        if len(text) > 400:
            text = f"{text[:60]}…<{len(text)} chars, sha {hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:12]}>"
        return text

    def deep(self, value, key=""):
        if isinstance(value, str):
            return "<token>" if key == "access_token" and value else self.mask(value)
        if isinstance(value, list):
            return [self.deep(v) for v in value]
        if isinstance(value, dict):
            return {self.mask(k): self.deep(v, k) for k, v in value.items()}
        return value

    def claims(self, token: str, now: float):
        """Header and masked claims of a token: names, audiences, lifetime, no volatile value."""
        parts = peek(token)
        if parts is None:
            return "<opaque>"
        head, body = parts
        out = {}
        for name, value in body.items():
            if name == "exp" and isinstance(value, (int, float)):
                left = value - now
                out[name] = f"now+{round(left / 60) * 60}s"
            elif name in ("iat", "nbf") and isinstance(value, (int, float)):
                out[name] = "<time>"
            elif name == "jti":
                out[name] = "<jti>"
            else:
                out[name] = self.deep(value)
        return {"header": head, "claims": out}


# --------------------------------------------------------------------------- observation


class Obs:
    """Collects the observations of one case as a flat dict of comparable fields."""

    def __init__(self, ctx: Ctx):
        self.ctx = ctx
        self.fields: dict[str, object] = {}

    def __call__(self, r: Reply, label: str = "") -> Reply:
        p = f"{label}." if label else ""
        f = self.fields
        f[p + "status"] = r.status
        for name in HEADERS:
            f[p + "header." + name] = self._header(r, name)
        f[p + "body"] = self._body(r)
        tok = r.field("access_token")
        if not isinstance(tok, str):
            tok = self.cookie_value(r)
        if tok:
            f[p + "token"] = self.ctx.claims(tok, r.at)
        return r

    def fact(self, name: str, value) -> None:
        self.fields[name] = self.ctx.deep(value)

    @staticmethod
    def cookie_value(r: Reply) -> str | None:
        for raw in r.headers.get_list("set-cookie"):
            name, _, rest = raw.partition("=")
            if name.strip() == COOKIE:
                value = rest.split(";")[0].strip().strip('"')
                return value or None
        return None

    def _header(self, r: Reply, name: str):
        if name == "set-cookie":
            out = []
            for raw in r.headers.get_list("set-cookie"):
                first, *attrs = [x.strip() for x in raw.split(";")]
                cname, _, value = first.partition("=")
                value = value.strip('"')
                shown = "<token>" if value else "<empty>"
                norm = []
                for a in attrs:
                    k, eq, v = a.partition("=")
                    k = k.strip().lower()
                    v = "<date>" if k == "expires" else (v.strip() if k == "path" else v.strip().lower())
                    norm.append(k + (eq and "=" + v))
                out.append({"cookie": cname, "value": shown, "attributes": sorted(norm)})
            return out or None
        values = r.headers.get_list(name)
        if not values:
            return None
        text = ", ".join(values)
        if name == "allow":
            return ", ".join(sorted(x.strip() for x in text.split(",") if x.strip()))
        if name == "content-type":
            return re.sub(r"\s*;\s*", "; ", text.lower())
        return self.ctx.mask(text)

    def _body(self, r: Reply):
        if not r.content:
            return "<empty>"
        try:
            return {"json": self.ctx.deep(json.loads(r.content))}
        except ValueError:
            return {"text": self.ctx.mask(r.content.decode("utf-8", "replace"))}


# --------------------------------------------------------------------------- case registry

CASES: dict[str, tuple] = {}


def case(name: str, *needs: str):
    """Register fn(c, o).  needs: 'mail' (token file), 'forge' (known secret), 'verified-only'
    (runs only with --profile verified)."""
    def add(fn):
        if name in CASES:
            raise RuntimeError(f"duplicate case {name}")
        CASES[name] = (fn, frozenset(needs))
        return fn
    return add


# =========================================================================== REGISTER

@case("register/minimal")
def _(c, o):
    o(c.register(c.addr("reg-minimal")))


@case("register/docs-king-arthur")
def _(c, o):
    email = "king.arthur@camelot.bt"
    old = c.login(email, "guinevere").field("access_token")      # left over from an aborted run
    if old:
        c.delete(f"/users/{c.me(old).field('id')}", token=c.su.token)
    r = o(c.register(email, "guinevere"))
    o(c.login(email, "guinevere"), "login")
    if r.field("id"):
        o(c.delete(f"/users/{r.field('id')}", token=c.su.token), "cleanup")


@case("register/all-documented-fields")
def _(c, o):
    o(c.register(c.addr("reg-full"), is_active=True, is_superuser=False, is_verified=False))


@case("register/duplicate-exact")
def _(c, o):
    o(c.register(c.user("alice").email, "another-password"))


@case("register/duplicate-local-part-other-case")
def _(c, o):
    local, dom = c.user("alice").email.split("@")
    o(c.register(f"{local.upper()}@{dom}"))


@case("register/duplicate-domain-other-case")
def _(c, o):
    local, dom = c.user("alice").email.split("@")
    o(c.register(f"{local}@{dom.upper()}"))


@case("register/duplicate-with-spaces-around")
def _(c, o):
    o(c.register(f"  {c.user('alice').email} "))


@case("register/duplicate-and-weak-password-order")
def _(c, o):
    o(c.register(c.user("alice").email, "x"))


@case("register/duplicate-of-inactive-user")
def _(c, o):
    o(c.register(c.user("inactive", inactive=True).email))


@case("register/case-kept-in-local-part")
def _(c, o):
    r = o(c.register(c.addr("King.Arthur")))
    low = c.addr("king.arthur")
    o(c.login(low), "login-lower")
    if r.field("id"):
        tok = c.login(low).field("access_token")
        if tok:
            o(c.me(tok), "me")


@case("register/duplicate-unicode-local-other-case")
def _(c, o):
    o(c.register(f"élan.{c.run}@{DOMAIN}"), "first")
    o(c.register(f"Élan.{c.run}@{DOMAIN}"), "second")


@case("register/duplicate-idn-vs-punycode")
def _(c, o):
    o(c.register(f"idn.{c.run}@bücher-example.com"), "unicode")
    o(c.register(f"idn.{c.run}@xn--bcher-example-wob.com"), "punycode")


@case("register/duplicate-unicode-normal-forms")
def _(c, o):
    o(c.register(f"cafe\u0301.{c.run}@{DOMAIN}"), "nfd")
    o(c.register(f"caf\u00e9.{c.run}@{DOMAIN}"), "nfc")


@case("register/plus-tags-are-distinct")
def _(c, o):
    o(c.register(c.addr("lancelot+a")), "a")
    o(c.register(c.addr("lancelot+b")), "b")


@case("register/response-never-shows-password")
def _(c, o):
    r = c.register(c.addr("reg-fields"))
    body = r.json()
    o.fact("fields", sorted(body) if isinstance(body, dict) else str(type(body)))
    o.fact("password-in-body", PW.encode() in r.content or b"hash" in r.content)


@case("register/then-login-and-me")
def _(c, o):
    email = c.addr("reg-flow")
    r = o(c.register(email), "register")
    c.ids[str(r.field("id", "")).lower()] = "self"
    tok = o(c.login(email), "login").field("access_token", "")
    o(c.me(tok), "me")


# privilege escalation through the register body
for _name, _extra in {
    "is_superuser-true": {"is_superuser": True},
    "is_active-false": {"is_active": False},
    "is_verified-true": {"is_verified": True},
    "all-flags": {"is_superuser": True, "is_active": False, "is_verified": True},
    "id": {"id": "11111111-1111-4111-8111-111111111111"},
    "hashed_password": {"hashed_password": "$argon2id$v=19$m=65536,t=3,p=4$AAAA$AAAA"},
    "oauth_accounts": {"oauth_accounts": [{"oauth_name": "x"}]},
    "unknown-field": {"shoe_size": 44, "nested": {"a": [1]}},
}.items():
    def _mass(c, o, extra=_extra, name=_name):
        email = c.addr("mass-" + name.lower())
        o(c.register(email, **extra))
        tok = c.login(email).field("access_token")
        if tok:
            o(c.me(tok), "me")
    case(f"register/mass-assign/{_name}")(_mass)

for _name, _extra in {
    "is_superuser-null": {"is_superuser": None},
    "is_active-null": {"is_active": None},
    "is_verified-null": {"is_verified": None},
    "is_active-yes-string": {"is_active": "yes"},
    "is_active-off-string": {"is_active": "off"},
    "is_active-true-string": {"is_active": "TRUE"},
    "is_active-one": {"is_active": 1},
    "is_active-two": {"is_active": 2},
    "is_active-float-one": {"is_active": 1.0},
    "is_active-banana": {"is_active": "banana"},
    "is_active-empty-string": {"is_active": ""},
    "is_superuser-list": {"is_superuser": []},
    "is_verified-object": {"is_verified": {}},
}.items():
    def _flag(c, o, extra=_extra, name=_name):
        o(c.register(c.addr("flag-" + name), **extra))
    case(f"register/flag-type/{_name}")(_flag)

# e-mail shapes; {r} is the run tag
EMAILS = {
    # accepted or normalised by the reference
    "plus": "king+tag.{r}@" + DOMAIN,
    "hyphen-underscore": "king-of_camelot.{r}@" + DOMAIN,
    "apostrophe": "o'brien.{r}@" + DOMAIN,
    "slash-equals": "dept/a=b.{r}@" + DOMAIN,
    "all-atext-specials": "!#$%&'*+-/=?^_`{{|}}~.{r}@" + DOMAIN,
    "digits-local": "12345.{r}@" + DOMAIN,
    "one-char-local": "a@{r}." + DOMAIN,
    "subdomain": "king@a.b.{r}." + DOMAIN,
    "domain-upper": "dom-upper.{r}@CAMELOT-EXAMPLE.COM",
    "local-upper": "LOCAL-UPPER.{r}@" + DOMAIN,
    "spaces-around": "  spaces.{r}@" + DOMAIN + "  ",
    "tab-before": "\ttab.{r}@" + DOMAIN,
    "newline-after": "newline.{r}@" + DOMAIN + "\n",
    "display-name": "King Arthur <pretty.{r}@" + DOMAIN + ">",
    "display-name-quoted": '"Arthur, King" <prettyq.{r}@' + DOMAIN + ">",
    "angle-only": "<angle.{r}@" + DOMAIN + ">",
    "mailto": "mailto:mt.{r}@" + DOMAIN,
    "example-com": "ex.{r}@example.com",
    "two-letter-tld": "tl.{r}@camelot.bt",
    "long-tld": "lt.{r}@camelot.photography",
    "numeric-domain-label": "num.{r}@123.com",
    "punycode-domain": "puny.{r}@xn--bcher-kva.com",
    "idn-domain": "idn1.{r}@bücher.com",
    "idn-domain-upper": "idn2.{r}@BÜCHER.com",
    "idn-domain-sharp-s": "idn3.{r}@straße-example.com",
    "idn-domain-japanese": "idn4.{r}@例え-example.com",
    "idn-domain-arabic": "idn5.{r}@مثال-example.com",
    "idn-domain-fullwidth": "idn6.{r}@ｃａｍｅｌｏｔ-example.com",
    "idn-ideographic-dot": "idn7.{r}@camelot-example。com",
    "emoji-domain": "idn8.{r}@i❤-example.com",
    "unicode-local": "árthur.{r}@" + DOMAIN,
    "unicode-local-nfd": "a\u0301rthur2.{r}@" + DOMAIN,
    "chinese-local": "用户.{r}@" + DOMAIN,
    "emoji-local": "👑.{r}@" + DOMAIN,
    "rtl-local": "ملك.{r}@" + DOMAIN,
    "cyrillic-homograph-local": "аrthur.{r}@" + DOMAIN,
    "local-64": "{pad64}@" + DOMAIN,
    "label-63": "l63.{r}@" + "d" * 63 + ".com",
    "total-254": "{pad64}@" + "a" * 59 + "." + "b" * 59 + "." + "c" * 59 + ".ddddd.com",
    # refused by the reference, or worth knowing
    "local-65": "a{pad64}@" + DOMAIN,
    "label-64": "l64.{r}@" + "d" * 64 + ".com",
    "total-255": "{pad64}@" + "a" * 59 + "." + "b" * 59 + "." + "c" * 59 + ".dddddd.com",
    "total-320": "{pad64}@" + "a" * 60 + "." + "b" * 60 + "." + "c" * 60 + "." + "d" * 60 + ".example.com",
    "length-2048": "{r}" + "a" * 2018 + "@" + DOMAIN,
    "length-2049": "{r}" + "a" * 2019 + "@" + DOMAIN,
    "length-100k": "{r}" + "a" * 100_000 + "@" + DOMAIN,
    "empty": "",
    "spaces-only": "   ",
    "no-at": "king.arthur.{r}",
    "only-at": "@",
    "no-local": "@" + DOMAIN,
    "no-domain": "king.{r}@",
    "two-ats": "king@{r}@" + DOMAIN,
    "no-tld": "king.{r}@camelot",
    "localhost": "king.{r}@localhost",
    "tld-local": "king.{r}@camelot.local",
    "tld-test": "king.{r}@camelot.test",
    "tld-invalid": "king.{r}@camelot.invalid",
    "tld-localhost": "king.{r}@camelot.localhost",
    "tld-onion": "king.{r}@camelot.onion",
    "tld-arpa": "king.{r}@camelot.arpa",
    "tld-numeric": "king.{r}@camelot.123",
    "tld-one-char": "king.{r}@camelot.c",
    "bare-ipv4": "king.{r}@127.0.0.1",
    "literal-ipv4": "king.{r}@[127.0.0.1]",
    "literal-ipv6": "king.{r}@[IPv6:::1]",
    "domain-trailing-dot": "king.{r}@" + DOMAIN + ".",
    "domain-leading-dot": "king.{r}@." + DOMAIN,
    "domain-double-dot": "king.{r}@camelot..com",
    "domain-leading-hyphen": "king.{r}@-camelot.com",
    "domain-trailing-hyphen": "king.{r}@camelot-.com",
    "domain-reserved-hyphens": "king.{r}@ab--cd.com",
    "domain-underscore": "king.{r}@came_lot.com",
    "domain-space": "king.{r}@came lot.com",
    "domain-slash": "king.{r}@camelot.com/x",
    "domain-port": "king.{r}@camelot.com:25",
    "bad-punycode": "king.{r}@xn--.com",
    "local-leading-dot": ".king.{r}@" + DOMAIN,
    "local-trailing-dot": "king.{r}.@" + DOMAIN,
    "local-double-dot": "king..{r}@" + DOMAIN,
    "local-space": "king arthur.{r}@" + DOMAIN,
    "local-quoted": '"king arthur.{r}"@' + DOMAIN,
    "local-comment": "king(comment).{r}@" + DOMAIN,
    "local-comma": "king,arthur.{r}@" + DOMAIN,
    "local-colon": "king:arthur.{r}@" + DOMAIN,
    "local-backslash": "king\\arthur.{r}@" + DOMAIN,
    "local-brackets": "king[a].{r}@" + DOMAIN,
    "local-nul": "king\x00.{r}@" + DOMAIN,
    "local-del": "king\x7f.{r}@" + DOMAIN,
    "local-newline": "king\narthur.{r}@" + DOMAIN,
    "local-zero-width": "king\u200b.{r}@" + DOMAIN,
    "local-nbsp": "king\u00a0.{r}@" + DOMAIN,
    "local-rlo": "king\u202e.{r}@" + DOMAIN,
    "local-combining-first": "\u0301king.{r}@" + DOMAIN,
    "header-injection": "king.{r}@" + DOMAIN + "\r\nBcc: x@" + DOMAIN,
    "list-of-addresses": "a.{r}@" + DOMAIN + ", b.{r}@" + DOMAIN,
    "list-with-semicolon": "a.{r}@" + DOMAIN + ";b.{r}@" + DOMAIN,
    "sql-injection": "' OR 1=1 --.{r}@" + DOMAIN,
    "html": "<script>alert(1)</script>.{r}@" + DOMAIN,
    "fullwidth-at": "king.{r}＠" + DOMAIN,
}


def email_of(c: Ctx, template: str) -> str:
    pad = "p" * (64 - len(c.run) - 1) + "." + c.run
    return template.format(r=c.run, pad64=pad)


for _name, _tpl in EMAILS.items():
    def _shape(c, o, tpl=_tpl):
        o(c.register(email_of(c, tpl)))
    case(f"register/email/{_name}")(_shape)

for _name, _value in {
    "null": None, "int": 42, "float": 1.5, "true": True, "list": ["a@" + DOMAIN], "object": {"a": 1},
}.items():
    def _etype(c, o, value=_value):
        o(c.register(value))
    case(f"register/email-type/{_name}")(_etype)

PASSWORDS = {
    "one-char": "x", "two-chars": "xy", "three-chars": "xyz", "empty": "", "spaces": "     ",
    "unicode": "pässwörd-日本", "two-emoji": "👑👑", "three-emoji": "👑👑👑",
    "nul-inside": "abc\x00def", "newline": "abc\ndef", "surrounding-spaces": "  abc  ",
    "len-72": "a" * 72, "len-73": "a" * 73, "len-1024": "b" * 1024, "len-10k": "c" * 10_000,
}
for _name, _value in PASSWORDS.items():
    def _pw(c, o, value=_value, name=_name):
        email = c.addr("pw-" + name)
        if o(c.register(email, value)).status == 201:
            o(c.login(email, value), "login")
    case(f"register/password/{_name}")(_pw)


@case("register/password/bytes-beyond-72-matter")
def _(c, o):
    email = c.addr("pw-72")
    c.register(email, "a" * 72 + "X")
    o(c.login(email, "a" * 72 + "Y"))


@case("register/password/contains-email")
def _(c, o):
    email = c.addr("pw-mail")
    o(c.register(email, f"my {email} pass"))


@case("register/password/contains-email-other-case")
def _(c, o):
    email = c.addr("pw-mailcase")
    o(c.register(email, f"my {email.upper()} pass"))


@case("register/password/contains-only-local-part")
def _(c, o):
    email = c.addr("pw-local")
    o(c.register(email, f"my {email.split('@')[0]} pass"))


@case("register/password/contains-email-as-typed-upper-domain")
def _(c, o):
    email = f"pw-updom.{c.run}@{DOMAIN.upper()}"
    o(c.register(email, f"my {email} pass"))


for _name, _value in {"null": None, "int": 123456, "float": 1.5, "true": True, "list": ["abcdef"],
                      "object": {"a": "abcdef"}}.items():
    def _ptype(c, o, value=_value, name=_name):
        o(c.register(c.addr("pwt-" + name), value))
    case(f"register/password-type/{_name}")(_ptype)

# bodies: bytes with {r}, content type


def okbody(key: str) -> str:
    return '{"email":"' + key + '.{r}@' + DOMAIN + '","password":"' + PW + '"}'


BODIES = {
    "empty-object": (b"{}", JSON),
    "only-email": (okbody("b-only").split(',"password"')[0] + "}", JSON),
    "only-password": ('{"password":"' + PW + '"}', JSON),
    "field-names-other-case": ('{"Email":"b-case.{r}@' + DOMAIN + '","Password":"' + PW + '"}', JSON),
    "username-instead-of-email": ('{"username":"b-un.{r}@' + DOMAIN + '","password":"' + PW + '"}', JSON),
    "wrapped-in-user": ('{"user":' + okbody("b-wrap") + "}", JSON),
    "bad-email-and-missing-password": ('{"email":"nope"}', JSON),
    "all-wrong": ('{"email":1,"password":2,"is_active":"x","is_superuser":"y","is_verified":"z"}', JSON),
    "empty": (b"", JSON),
    "empty-no-content-type": (b"", None),
    "whitespace": (b"   ", JSON),
    "array": (b"[]", JSON),
    "array-of-object": ("[" + okbody("b-arr") + "]", JSON),
    "string": (b'"hello"', JSON),
    "number": (b"42", JSON),
    "true": (b"true", JSON),
    "null": (b"null", JSON),
    "truncated": (b'{"email":"a', JSON),
    "truncated-after-comma": (b'{"email":"a@b.com",', JSON),
    "trailing-comma": (b'{"email":"a@b.com",}', JSON),
    "single-quotes": (b"{'email':'a@b.com'}", JSON),
    "unquoted-key": (b'{email:"a@b.com"}', JSON),
    "comment": (b'{"email":"a@b.com"/*x*/}', JSON),
    "garbage": (b"not json", JSON),
    "trailing-garbage": (b"{} x", JSON),
    "two-documents": (b"{}{}", JSON),
    "control-char-in-string": (b'{"email":"a\x01@b.com"}', JSON),
    "bad-escape": (b'{"email":"\\x"}', JSON),
    "nan-in-extra-field": (okbody("b-nan")[:-1] + ',"x":NaN}', JSON),
    "nan-as-password": ('{"email":"b-nanpw.{r}@' + DOMAIN + '","password":NaN}', JSON),
    "lone-surrogate-in-password": (okbody("b-sur").replace(PW, "abc\\ud800def"), JSON),
    "lone-surrogate-in-email": ('{"email":"a\\ud800b.{r}@' + DOMAIN + '","password":"' + PW + '"}', JSON),
    "escaped-email": (okbody("b-esc").replace("@", "\\u0040"), JSON),
    "duplicate-keys-last-wins": (okbody("b-dup")[:-1] + ',"password":"x"}', JSON),
    "huge-integer": (okbody("b-huge")[:-1] + ',"x":' + "9" * 5000 + "}", JSON),
    "big-integer": (okbody("b-bigint")[:-1] + ',"x":' + "9" * 400 + "}", JSON),
    "deep-nesting": (okbody("b-deep")[:-1] + ',"x":' + "[" * 100_000 + "]" * 100_000 + "}", JSON),
    "utf8-bom": ("\ufeff" + okbody("b-bom"), JSON),
    "utf16": (okbody("b-u16"), JSON, "utf-16"),
    "latin1-bytes": (b'{"email":"caf\xe9@b.com","password":"' + PW.encode() + b'"}', JSON),
    "ct-charset-utf8": (okbody("b-cu8"), "application/json; charset=utf-8"),
    "ct-charset-latin1": (okbody("b-cl1"), "application/json; charset=iso-8859-1"),
    "ct-upper": (okbody("b-cup"), "APPLICATION/JSON"),
    "ct-vendor-json": (okbody("b-cven"), "application/vnd.api+json"),
    "ct-merge-patch": (okbody("b-cmp"), "application/merge-patch+json"),
    "ct-missing": (okbody("b-cno"), None),
    "ct-text-plain": (okbody("b-ctp"), "text/plain"),
    "ct-text-json": (okbody("b-ctj"), "text/json"),
    "ct-octet-stream": (okbody("b-coct"), "application/octet-stream"),
    "ct-xml": (b"<user/>", "application/xml"),
    "ct-nonsense": (okbody("b-cnon"), "json"),
    "ct-json-but-form": (form(email="a@b.com", password=PW), JSON),
    "urlencoded-form": (form(email="a@b.com", password=PW), URLENC),
    "multipart-form": (multipart(("email", "a@b.com"), ("password", PW)), MULTI),
}


def bodybytes(c: Ctx, spec: tuple) -> tuple[bytes, str | None]:
    raw, ctype = spec[0], spec[1]
    if isinstance(raw, str):
        raw = raw.replace("{r}", c.run)
        raw = raw.encode(spec[2] if len(spec) > 2 else "utf-8")
    return raw, ctype


for _name, _spec in BODIES.items():
    def _bd(c, o, spec=_spec):
        raw, ctype = bodybytes(c, spec)
        o(c.post("/auth/register", content=raw, ctype=ctype))
    case(f"register/body/{_name}")(_bd)


@case("register/query-string-is-not-read")
def _(c, o):
    o(c.post(f"/auth/register?email=q.{c.run}%40{DOMAIN}&password={PW}"))


@case("register/while-logged-in")
def _(c, o):
    o(c.post("/auth/register", body={"email": c.addr("reg-authed"), "password": PW}, token=c.user("alice").token))


@case("register/with-broken-authorization-header")
def _(c, o):
    o(c.post("/auth/register", body={"email": c.addr("reg-badauth"), "password": PW},
             headers=[("authorization", "Bearer nonsense")]))


@case("register/one-megabyte-extra-field")
def _(c, o):
    o(c.register(c.addr("reg-1mb"), pad="z" * 1_000_000))


@case("register/gzip-encoded-body")
def _(c, o):
    import gzip
    raw = gzip.compress(okbody("b-gzip").replace("{r}", c.run).encode(), mtime=0)
    o(c.post("/auth/register", content=raw, ctype=JSON, headers=[("content-encoding", "gzip")]))


# =========================================================================== LOGIN

def _login_cases(backend: str):
    url = f"/auth/{backend}/login"
    area = f"login-{backend}"

    def send(c, raw, ctype=URLENC, **kw):
        return c.post(url, content=raw, ctype=ctype, **kw)

    def simple(name, build, *needs):
        case(f"{area}/{name}", *needs)(lambda c, o: o(build(c)))

    al = lambda c: c.user("alice").email

    simple("urlencoded", lambda c: send(c, form(username=al(c), password=PW)))
    simple("multipart", lambda c: send(c, multipart(("username", al(c)), ("password", PW)), MULTI))
    simple("wrong-password", lambda c: send(c, form(username=al(c), password="wrong")))
    simple("wrong-password-multipart",
           lambda c: send(c, multipart(("username", al(c)), ("password", "wrong")), MULTI))
    simple("unknown-user", lambda c: send(c, form(username=c.addr("nobody"), password=PW)))
    simple("not-an-email", lambda c: send(c, form(username="arthur", password=PW)))
    simple("inactive-user", lambda c: send(c, form(username=c.user("inactive", inactive=True).email, password=PW)))
    simple("inactive-user-wrong-password",
           lambda c: send(c, form(username=c.user("inactive", inactive=True).email, password="wrong")))
    simple("verified-user", lambda c: send(c, form(username=c.user("vera", verified=True).email, password=PW)))
    simple("superuser", lambda c: send(c, form(username=c.su.email, password=PW)))
    simple("password-case", lambda c: send(c, form(username=al(c), password=PW.upper())))
    simple("password-trailing-space", lambda c: send(c, form(username=al(c), password=PW + " ")))
    simple("email-local-upper", lambda c: send(c, form(username=al(c).split("@")[0].upper() + "@" + DOMAIN, password=PW)))
    simple("email-domain-upper", lambda c: send(c, form(username=al(c).split("@")[0] + "@" + DOMAIN.upper(), password=PW)))
    simple("email-spaces-around", lambda c: send(c, form(username=f" {al(c)} ", password=PW)))
    simple("email-display-name", lambda c: send(c, form(username=f"Alice <{al(c)}>", password=PW)))
    simple("email-field-instead-of-username", lambda c: send(c, form(email=al(c), password=PW)))
    simple("missing-username", lambda c: send(c, form(password=PW)))
    simple("missing-password", lambda c: send(c, form(username=al(c))))
    simple("missing-both", lambda c: send(c, form(scope="x")))
    simple("empty-body", lambda c: send(c, b""))
    simple("empty-body-no-content-type", lambda c: send(c, b"", None))
    simple("empty-username", lambda c: send(c, form(username="", password=PW)))
    simple("empty-password", lambda c: send(c, form(username=al(c), password="")))
    simple("empty-both", lambda c: send(c, form(username="", password="")))
    simple("json-body", lambda c: c.post(url, body={"username": al(c), "password": PW}))
    simple("json-email-body", lambda c: c.post(url, body={"email": al(c), "password": PW}))
    simple("form-bytes-without-content-type", lambda c: send(c, form(username=al(c), password=PW), None))
    simple("form-bytes-as-text-plain", lambda c: send(c, form(username=al(c), password=PW), "text/plain"))
    simple("content-type-upper", lambda c: send(c, form(username=al(c), password=PW), URLENC.upper()))
    simple("content-type-charset", lambda c: send(c, form(username=al(c), password=PW), URLENC + "; charset=UTF-8"))
    simple("query-string", lambda c: c.post(f"{url}?username={quote_plus(al(c))}&password={PW}"))
    simple("basic-auth-header", lambda c: c.post(url, headers=[(
        "authorization", "Basic " + base64.b64encode(f"{al(c)}:{PW}".encode()).decode())]))
    simple("grant-type-password", lambda c: send(c, form(grant_type="password", username=al(c), password=PW)))
    simple("grant-type-upper", lambda c: send(c, form(grant_type="PASSWORD", username=al(c), password=PW)))
    simple("grant-type-other", lambda c: send(c, form(grant_type="client_credentials", username=al(c), password=PW)))
    simple("grant-type-empty", lambda c: send(c, form(grant_type="", username=al(c), password=PW)))
    simple("grant-type-padded", lambda c: send(c, form(grant_type="password ", username=al(c), password=PW)))
    simple("grant-type-newline", lambda c: send(c, form(grant_type="password\n", username=al(c), password=PW)))
    simple("grant-type-bad-and-missing-fields", lambda c: send(c, form(grant_type="x")))
    simple("extra-oauth-fields", lambda c: send(c, form(
        grant_type="password", username=al(c), password=PW, scope="a b", client_id="id", client_secret="s")))
    simple("extra-unknown-fields", lambda c: send(c, form(username=al(c), password=PW, remember="1")))
    simple("username-twice-last-good", lambda c: send(c, form(("username", "x@y.com"), ("username", al(c)), password=PW)))
    simple("username-twice-first-good", lambda c: send(c, form(("username", al(c)), ("username", "x@y.com"), password=PW)))
    simple("username-with-nul", lambda c: send(c, form(username=al(c).replace("@", "%00@"), password=PW)))
    simple("sql-injection", lambda c: send(c, form(username="' OR '1'='1", password="' OR '1'='1")))
    simple("sql-wildcard", lambda c: send(c, form(username="%@" + DOMAIN, password=PW)))
    simple("long-username", lambda c: send(c, form(username="a" * 10_000 + "@" + DOMAIN, password=PW)))
    simple("long-password", lambda c: send(c, form(username=al(c), password="p" * 100_000)))
    simple("bad-percent-encoding", lambda c: send(c, b"username=%zz&password=%"))
    simple("invalid-utf8", lambda c: send(c, b"username=%ff%fe&password=abc"))
    simple("multipart-without-boundary",
           lambda c: send(c, multipart(("username", al(c)), ("password", PW)), "multipart/form-data"))
    simple("multipart-wrong-boundary",
           lambda c: send(c, multipart(("username", al(c)), ("password", PW)), "multipart/form-data; boundary=zzz"))
    simple("multipart-truncated",
           lambda c: send(c, multipart(("username", al(c)), ("password", PW), end=False), MULTI))
    simple("multipart-empty", lambda c: send(c, multipart(), MULTI))
    simple("multipart-password-as-file", lambda c: send(c, multipart(
        ("username", al(c)), ("password", PW, '; filename="p.txt"')), MULTI))
    simple("multipart-missing-password", lambda c: send(c, multipart(("username", al(c))), MULTI))
    simple("already-logged-in", lambda c: send(c, form(username=al(c), password=PW), token=c.user("alice").token))
    simple("with-broken-cookie", lambda c: send(c, form(username=al(c), password=PW), cookie="garbage"))

    @case(f"{area}/unicode-password")
    def _(c, o):
        email = c.addr(f"unipw-{backend}")
        c.register(email, "pässwörd-日本")
        o(send(c, form(username=email, password="pässwörd-日本")), "urlencoded")
        o(send(c, multipart(("username", email), ("password", "pässwörd-日本")), MULTI), "multipart")

    @case(f"{area}/idn-address-forms")
    def _(c, o):
        c.register(f"idnlogin{backend}.{c.run}@bücher-example.com")
        for label, dom in (("as-registered", "bücher-example.com"), ("upper", "BÜCHER-EXAMPLE.COM"),
                           ("punycode", "xn--bcher-example-wob.com")):
            o(send(c, form(username=f"idnlogin{backend}.{c.run}@{dom}", password=PW)), label)

    @case(f"{area}/unicode-local-part-forms")
    def _(c, o):
        c.register(f"ren\u00e9{backend}.{c.run}@{DOMAIN}")
        o(send(c, form(username=f"ren\u00e9{backend}.{c.run}@{DOMAIN}", password=PW)), "nfc")
        o(send(c, form(username=f"rene\u0301{backend}.{c.run}@{DOMAIN}", password=PW)), "nfd")
        o(send(c, form(username=f"REN\u00c9{backend}.{c.run}@{DOMAIN}", password=PW)), "upper")

    @case(f"{area}/two-logins-both-valid")
    def _(c, o):
        u = c.user("alice")
        toks = []
        for _i in range(2):
            r = send(c, form(username=u.email, password=PW))
            toks.append(r.field("access_token") or Obs.cookie_value(r) or "")
        o(c.me(toks[0]), "first")
        o(c.me(toks[1]), "second")


_login_cases("jwt")
_login_cases("cookie")


# =========================================================================== COOKIE

@case("cookie/login-then-me")
def _(c, o):
    r = o(c.login(c.user("alice").email, backend="cookie"), "login")
    o(c.get("/users/me", cookie=Obs.cookie_value(r) or ""), "me")


@case("cookie/raw-attribute-names")
def _(c, o):
    r = c.login(c.user("alice").email, backend="cookie")
    raw = r.headers.get("set-cookie", "")
    o.fact("names", sorted(a.partition("=")[0].strip() for a in raw.split(";")[1:]))
    o.fact("name", raw.partition("=")[0])


@case("cookie/no-body-in-login")
def _(c, o):
    r = c.login(c.user("alice").email, backend="cookie")
    o.fact("bytes", len(r.content))
    o.fact("content-length", r.headers.get("content-length"))


@case("cookie/failed-login-sets-no-cookie")
def _(c, o):
    r = c.login(c.user("alice").email, "wrong", backend="cookie")
    o.fact("set-cookie", r.headers.get_list("set-cookie"))


# =========================================================================== USERS/ME

def _me_header(name, build, *needs):
    """One Authorization header built from a valid token."""
    def run(c, o):
        value = build(c)
        pairs = value if isinstance(value, list) else [("authorization", value)]
        o(c.get("/users/me", headers=pairs))
    case(f"me/header/{name}", *needs)(run)


tok = lambda c: c.user("alice").token
for _name, _build in {
    "bearer": lambda c: f"Bearer {tok(c)}",
    "bearer-lower": lambda c: f"bearer {tok(c)}",
    "bearer-upper": lambda c: f"BEARER {tok(c)}",
    "two-spaces": lambda c: f"Bearer  {tok(c)}",
    "tab": lambda c: f"Bearer\t{tok(c)}",
    "no-space": lambda c: f"Bearer{tok(c)}",
    "colon": lambda c: f"Bearer: {tok(c)}",
    "scheme-only": lambda c: "Bearer",
    "empty": lambda c: "",
    "raw-token": lambda c: tok(c),
    "scheme-token": lambda c: f"Token {tok(c)}",
    "scheme-jwt": lambda c: f"JWT {tok(c)}",
    "scheme-basic": lambda c: "Basic " + base64.b64encode(f"{c.user('alice').email}:{PW}".encode()).decode(),
    "scheme-basic-with-token": lambda c: f"Basic {tok(c)}",
    "scheme-digest": lambda c: f"Digest {tok(c)}",
    "quoted-token": lambda c: f'Bearer "{tok(c)}"',
    "extra-word": lambda c: f"Bearer {tok(c)} extra",
    "comma-list": lambda c: f"Bearer {tok(c)}, Basic abc",
    "garbage-token": lambda c: "Bearer nonsense",
    "null-word": lambda c: "Bearer null",
    "undefined-word": lambda c: "Bearer undefined",
    "very-long-token": lambda c: "Bearer " + "a" * 6000,
    "dots": lambda c: "Bearer ..",
    "non-ascii": lambda c: [(b"authorization", "Bearer tökén".encode())],
    "twice-good-first": lambda c: [("authorization", f"Bearer {tok(c)}"), ("authorization", "Bearer bad")],
    "twice-good-last": lambda c: [("authorization", "Bearer bad"), ("authorization", f"Bearer {tok(c)}")],
    "x-auth-token": lambda c: [("x-auth-token", tok(c))],
    "proxy-authorization": lambda c: [("proxy-authorization", f"Bearer {tok(c)}")],
}.items():
    _me_header(_name, _build)


def _flip(token: str, part: int) -> str:
    """Change one character in the middle of one part of a JWT."""
    parts = token.split(".") if token.count(".") == 2 else [token]
    part = min(part, len(parts) - 1)
    text = parts[part]
    i = len(text) // 2
    parts[part] = text[:i] + ("A" if text[i] != "A" else "B") + text[i + 1:]
    return ".".join(parts)


def _part(token: str, n: int) -> str:
    parts = token.split(".")
    if len(parts) != 3:
        raise Setup("the access token is not a JWT")
    return parts[n]


def _me_token(name, build, *needs):
    case(f"me/token/{name}", *needs)(lambda c, o: o(c.me(build(c))))


for _name, _build in {
    "tampered-signature": lambda c: _flip(tok(c), 2),
    "tampered-payload": lambda c: _flip(tok(c), 1),
    "tampered-header": lambda c: _flip(tok(c), 0),
    "signature-removed": lambda c: f"{_part(tok(c), 0)}.{_part(tok(c), 1)}.",
    "two-segments": lambda c: f"{_part(tok(c), 0)}.{_part(tok(c), 1)}",
    "four-segments": lambda c: tok(c) + ".x",
    "padding-added": lambda c: tok(c) + "=",
    "wrong-secret": lambda c: c.forge(c.user("alice"), secret="not-the-secret-not-the-secret-not-it"),
    "empty-secret": lambda c: c.forge(c.user("alice"), secret=""),
    "alg-none": lambda c: c.forge(c.user("alice"), alg="none"),
    "alg-none-mixed-case": lambda c: c.forge(c.user("alice"), alg="nOnE"),
    "alg-missing": lambda c: c.forge(c.user("alice"), header={"typ": "JWT"}, secret="x"),
    "swapped-payload-of-other-user": lambda c: ".".join(
        [_part(tok(c), 0), _part(c.user("bob").token, 1), _part(tok(c), 2)]),
}.items():
    _me_token(_name, _build)

for _name, _build in {
    "forged-good": lambda c: c.forge(c.user("alice")),
    "expired": lambda c: c.forge(c.user("alice"), exp=int(time.time()) - 60),
    "expired-now": lambda c: c.forge(c.user("alice"), exp=int(time.time())),
    "exp-missing": lambda c: c.forge(c.user("alice"), drop=["exp"]),
    "exp-null": lambda c: c.forge(c.user("alice"), exp=None),
    "exp-string": lambda c: c.forge(c.user("alice"), exp="tomorrow"),
    "exp-numeric-string": lambda c: c.forge(c.user("alice"), exp=str(int(time.time()) + 600)),
    "exp-float": lambda c: c.forge(c.user("alice"), exp=time.time() + 600.5),
    "exp-far-future": lambda c: c.forge(c.user("alice"), exp=99999999999),
    "exp-negative": lambda c: c.forge(c.user("alice"), exp=-1),
    "nbf-past": lambda c: c.forge(c.user("alice"), nbf=int(time.time()) - 60),
    "nbf-future": lambda c: c.forge(c.user("alice"), nbf=int(time.time()) + 600),
    "iat-past": lambda c: c.forge(c.user("alice"), iat=int(time.time()) - 60),
    "iat-future": lambda c: c.forge(c.user("alice"), iat=int(time.time()) + 600),
    "iat-string": lambda c: c.forge(c.user("alice"), iat="yesterday"),
    "aud-string": lambda c: c.forge(c.user("alice"), aud=AUD_AUTH),
    "aud-list-with-others": lambda c: c.forge(c.user("alice"), aud=["x", AUD_AUTH]),
    "aud-wrong": lambda c: c.forge(c.user("alice"), aud=["other"]),
    "aud-wrong-case": lambda c: c.forge(c.user("alice"), aud=[AUD_AUTH.upper()]),
    "aud-missing": lambda c: c.forge(c.user("alice"), drop=["aud"]),
    "aud-null": lambda c: c.forge(c.user("alice"), aud=None),
    "aud-empty-list": lambda c: c.forge(c.user("alice"), aud=[]),
    "aud-reset": lambda c: c.forge(c.user("alice"), aud=AUD_RESET),
    "aud-verify": lambda c: c.forge(c.user("alice"), aud=AUD_VERIFY),
    "sub-missing": lambda c: c.forge(c.user("alice"), drop=["sub"]),
    "sub-null": lambda c: c.forge(c.user("alice"), sub=None),
    "sub-empty": lambda c: c.forge(c.user("alice"), sub=""),
    "sub-unknown-uuid": lambda c: c.forge(None),
    "sub-not-uuid": lambda c: c.forge(c.user("alice"), sub="alice"),
    "sub-email": lambda c: c.forge(c.user("alice"), sub=c.user("alice").email),
    "sub-int": lambda c: c.forge(c.user("alice"), sub=1),
    "sub-list": lambda c: c.forge(c.user("alice"), sub=[c.user("alice").id]),
    "sub-uuid-no-hyphens": lambda c: c.forge(c.user("alice"), sub=c.user("alice").id.replace("-", "")),
    "sub-uuid-upper": lambda c: c.forge(c.user("alice"), sub=c.user("alice").id.upper()),
    "user_id-claim-of-old-versions": lambda c: c.forge(c.user("alice"), drop=["sub"], user_id=c.user("alice").id),
    "user_id-claim-and-string-aud": lambda c: c.forge(
        c.user("alice"), drop=["sub"], user_id=c.user("alice").id, aud=AUD_AUTH),
    "alg-hs384": lambda c: c.forge(c.user("alice"), alg="HS384"),
    "alg-hs512": lambda c: c.forge(c.user("alice"), alg="HS512"),
    "typ-missing": lambda c: c.forge(c.user("alice"), header={"alg": "HS256"}),
    "typ-other": lambda c: c.forge(c.user("alice"), header={"alg": "HS256", "typ": "at+jwt"}),
    "kid-present": lambda c: c.forge(c.user("alice"), header={"alg": "HS256", "typ": "JWT", "kid": "../../dev/null"}),
    "crit-unknown": lambda c: c.forge(c.user("alice"), header={"alg": "HS256", "crit": ["x"], "x": 1}),
    "extra-claims": lambda c: c.forge(c.user("alice"), is_superuser=True, role="admin"),
    "payload-list": lambda c: sign(b"[1]", c.secret),
    "payload-not-json": lambda c: sign(b"hello", c.secret),
    "payload-empty-object": lambda c: sign(b"{}", c.secret),
    "inactive-user": lambda c: c.forge(c.user("inactive", inactive=True)),
}.items():
    _me_token(_name, _build, "forge")


@case("me/none")
def _(c, o):
    o(c.get("/users/me"))


@case("me/cookie")
def _(c, o):
    o(c.get("/users/me", cookie=Obs.cookie_value(c.login(c.user("alice").email, backend="cookie")) or ""))


@case("me/bearer-token-sent-as-cookie")
def _(c, o):
    o(c.get("/users/me", cookie=tok(c)))


@case("me/cookie-token-sent-as-bearer")
def _(c, o):
    o(c.me(Obs.cookie_value(c.login(c.user("alice").email, backend="cookie")) or ""))


for _name, _build in {
    "empty": lambda c: f"{COOKIE}=",
    "garbage": lambda c: f"{COOKIE}=garbage",
    "tampered": lambda c: f"{COOKIE}={_flip(tok(c), 2)}",
    "quoted": lambda c: f'{COOKIE}="{tok(c)}"',
    "other-name": lambda c: f"session={tok(c)}",
    "name-upper": lambda c: f"{COOKIE.upper()}={tok(c)}",
    "among-others": lambda c: f"a=1; {COOKIE}={tok(c)}; b=2",
    "no-space-separator": lambda c: f"a=1;{COOKIE}={tok(c)};b=2",
    "spaces-around-equals": lambda c: f"{COOKIE} = {tok(c)}",
    "twice-good-first": lambda c: f"{COOKIE}={tok(c)}; {COOKIE}=bad",
    "twice-good-last": lambda c: f"{COOKIE}=bad; {COOKIE}={tok(c)}",
    "nameless-chunk": lambda c: f"junk; {COOKIE}={tok(c)}",
    "bearer-prefix-inside": lambda c: f"{COOKIE}=Bearer {tok(c)}",
}.items():
    def _ck(c, o, build=_build):
        o(c.get("/users/me", headers=[("cookie", build(c))]))
    case(f"me/cookie/{_name}")(_ck)


@case("me/cookie/two-cookie-headers")
def _(c, o):
    o(c.get("/users/me", headers=[("cookie", "a=1"), ("cookie", f"{COOKIE}={tok(c)}")]))


@case("me/both-same-user")
def _(c, o):
    o(c.get("/users/me", token=tok(c), cookie=tok(c)))


@case("me/both-different-users")
def _(c, o):
    o(c.get("/users/me", token=tok(c), cookie=c.user("bob").token))


@case("me/bad-bearer-good-cookie")
def _(c, o):
    o(c.get("/users/me", token="nonsense", cookie=tok(c)))


@case("me/good-bearer-bad-cookie")
def _(c, o):
    o(c.get("/users/me", token=tok(c), cookie="nonsense"))


@case("me/basic-scheme-good-cookie")
def _(c, o):
    o(c.get("/users/me", headers=[("authorization", "Basic abc"), ("cookie", f"{COOKIE}={tok(c)}")]))


@case("me/inactive-bearer-active-cookie")
def _(c, o):
    o(c.get("/users/me", token=c.user("inactive", inactive=True).token, cookie=tok(c)))


@case("me/active-bearer-inactive-cookie")
def _(c, o):
    o(c.get("/users/me", token=tok(c), cookie=c.user("inactive", inactive=True).token))


@case("me/token-in-query")
def _(c, o):
    o(c.get(f"/users/me?access_token={tok(c)}&token={tok(c)}"))


@case("me/inactive-user-bearer")
def _(c, o):
    o(c.me(c.user("inactive", inactive=True).token))


@case("me/inactive-user-cookie")
def _(c, o):
    o(c.get("/users/me", cookie=c.user("inactive", inactive=True).token))


@case("me/unverified-user")
def _(c, o):
    o(c.me(c.user("bob").token))


@case("me/verified-user")
def _(c, o):
    o(c.me(c.user("vera", verified=True).token))


@case("me/superuser")
def _(c, o):
    o(c.me(c.su.token))


@case("me/deleted-user")
def _(c, o):
    u = c.fresh()
    o(c.delete(f"/users/{u.id}", token=c.su.token), "delete")
    o(c.me(u.token), "bearer")
    o(c.get("/users/me", cookie=u.token), "cookie")


@case("me/reactivated-user-old-token")
def _(c, o):
    u = c.fresh(inactive=True)
    o(c.me(u.token), "while-inactive")
    c.admin(u, is_active=True)
    o(c.me(u.token), "after")


@case("me/query-and-body-are-ignored")
def _(c, o):
    o(c.req("GET", "/users/me?x=1", content=b'{"a":', ctype=JSON, token=tok(c)))


@case("me/accept-html")
def _(c, o):
    o(c.get("/users/me", headers=[("accept", "text/html")]), "no-auth")
    o(c.get("/users/me", token=tok(c), headers=[("accept", "text/html")]), "auth")


@case("me/cache-and-vary-headers")
def _(c, o):
    r = c.me(tok(c))
    o.fact("present", sorted(h for h in ("cache-control", "vary", "etag", "pragma", "expires", "last-modified")
                             if h in r.headers))


# =========================================================================== PATCH /users/me

def _patch_me(name, body, *, after=True, verified=False, superuser=False):
    """PATCH /users/me of a fresh user with `body` (or body(c, user)); then look at /users/me."""
    def run(c, o):
        u = c.pooled(verified=verified, superuser=superuser)
        o(c.patch("/users/me", body=body(c, u) if callable(body) else body, token=u.token))
        if after:
            o(c.me(u.token), "me")
    case(f"patch-me/{name}")(run)


_patch_me("empty-object", {}, verified=True)
_patch_me("email-new", lambda c, u: {"email": "new-" + u.email})
_patch_me("email-new-clears-verified", lambda c, u: {"email": "new-" + u.email}, verified=True)
_patch_me("email-same-keeps-verified", lambda c, u: {"email": u.email}, verified=True)
_patch_me("email-same-local-upper", lambda c, u: {"email": u.email.split("@")[0].upper() + "@" + DOMAIN}, verified=True)
_patch_me("email-same-domain-upper", lambda c, u: {"email": u.email.split("@")[0] + "@" + DOMAIN.upper()}, verified=True)
_patch_me("email-same-spaces-around", lambda c, u: {"email": f" {u.email} "}, verified=True)
_patch_me("email-new-normalised", lambda c, u: {"email": f" New-{u.email.split('@')[0]}@{DOMAIN.upper()} "})
_patch_me("email-display-name", lambda c, u: {"email": f"King <new-{u.email}>"})
_patch_me("email-duplicate", lambda c, u: {"email": c.user("bob").email})
_patch_me("email-duplicate-other-case", lambda c, u: {"email": c.user("bob").email.split("@")[0].upper() + "@" + DOMAIN})
_patch_me("email-duplicate-keeps-verified", lambda c, u: {"email": c.user("bob").email}, verified=True)
_patch_me("email-duplicate-and-good-password", lambda c, u: {"email": c.user("bob").email, "password": PW2})
_patch_me("email-duplicate-and-weak-password", lambda c, u: {"email": c.user("bob").email, "password": "x"})
_patch_me("email-new-and-weak-password", lambda c, u: {"email": "new-" + u.email, "password": "x"})
_patch_me("email-bad", {"email": "nope"})
_patch_me("email-empty", {"email": ""})
_patch_me("email-null", {"email": None})
_patch_me("email-number", {"email": 5})
_patch_me("password-weak", {"password": "xy"})
_patch_me("password-empty", {"password": ""})
_patch_me("password-null", {"password": None})
_patch_me("password-number", {"password": 123456})
_patch_me("password-has-email", lambda c, u: {"password": f"x{u.email}x"})
_patch_me("password-has-new-email-same-request", lambda c, u: {"email": "new-" + u.email, "password": f"xnew-{u.email}x"})
_patch_me("is_superuser-true", {"is_superuser": True})
_patch_me("is_superuser-false-by-superuser", {"is_superuser": False}, superuser=True)
_patch_me("is_superuser-null", {"is_superuser": None})
_patch_me("is_superuser-banana", {"is_superuser": "banana"})
_patch_me("is_active-false", {"is_active": False})
_patch_me("is_active-null", {"is_active": None})
_patch_me("is_verified-true", {"is_verified": True})
_patch_me("is_verified-false", {"is_verified": False}, verified=True)
_patch_me("flags-as-superuser", {"is_verified": True, "is_active": False}, superuser=True)
_patch_me("id", {"id": "22222222-2222-4222-8222-222222222222"})
_patch_me("hashed_password", {"hashed_password": "x"})
_patch_me("oauth_accounts", {"oauth_accounts": []})
_patch_me("unknown-field", {"shoe_size": 44})
_patch_me("all-null", {"password": None, "is_active": None, "is_superuser": None, "is_verified": None})
_patch_me("everything-wrong", {"email": 1, "password": 2, "is_active": "x", "is_superuser": "y", "is_verified": "z"})


@case("patch-me/password-change-effects")
def _(c, o):
    u = c.fresh(verified=True)
    o(c.patch("/users/me", body={"password": PW2}, token=u.token))
    o(c.login(u.email, PW), "login-old")
    o(c.login(u.email, PW2), "login-new")
    o(c.me(u.token), "old-token")


@case("patch-me/password-same-as-before")
def _(c, o):
    u = c.fresh()
    o(c.patch("/users/me", body={"password": PW}, token=u.token))


@case("patch-me/email-change-effects")
def _(c, o):
    u = c.fresh()
    o(c.patch("/users/me", body={"email": "moved-" + u.email}, token=u.token))
    o(c.login(u.email), "login-old-email")
    o(c.login("moved-" + u.email), "login-new-email")
    o(c.me(u.token), "old-token")
    o(c.register(u.email), "old-email-is-free")


@case("patch-me/email-and-password-together")
def _(c, o):
    u = c.fresh()
    o(c.patch("/users/me", body={"email": "both-" + u.email, "password": PW2}, token=u.token))
    o(c.login("both-" + u.email, PW2), "login")


@case("patch-me/with-cookie")
def _(c, o):
    u = c.fresh()
    o(c.patch("/users/me", body={"password": PW2}, cookie=u.token))


for _name, _spec in {
    "empty": (b"", JSON), "empty-no-content-type": (b"", None), "array": (b"[]", JSON), "null": (b"null", JSON),
    "string": (b'"x"', JSON), "malformed": (b'{"email":', JSON), "garbage": (b"zzz", JSON),
    "text-plain": (b'{"is_active":true}', "text/plain"), "no-content-type": (b'{"is_active":true}', None),
    "urlencoded": (b"password=abcdef", URLENC), "vendor-json": (b"{}", "application/vnd.api+json"),
}.items():
    def _pb(c, o, spec=_spec):
        raw, ctype = spec
        o(c.patch("/users/me", content=raw, ctype=ctype, token=tok(c)), "auth")
        o(c.patch("/users/me", content=raw, ctype=ctype), "no-auth")
    case(f"patch-me/body/{_name}")(_pb)

for _name, _body in {"valid": {}, "invalid": {"email": "nope"}, "flags": {"is_superuser": True}}.items():
    def _pn(c, o, body=_body):
        o(c.patch("/users/me", body=body), "none")
        o(c.patch("/users/me", body=body, token="nonsense"), "bad-token")
        o(c.patch("/users/me", body=body, token=c.user("inactive", inactive=True).token), "inactive")
    case(f"patch-me/unauthorised/{_name}")(_pn)


# =========================================================================== /users/{id}

def _id_forms(u: User) -> dict[str, str]:
    i = u.id
    return {"plain": i, "upper": i.upper(), "no-hyphens": i.replace("-", ""), "braces": "%7B" + i + "%7D",
            "urn": "urn:uuid:" + i, "hyphens-moved": i.replace("-", "")[:4] + "-" + i.replace("-", "")[4:],
            "percent-encoded": "%" + format(ord(i[0]), "02x") + i[1:], "trailing-space": i + "%20"}


for _form in ("plain", "upper", "no-hyphens", "braces", "urn", "hyphens-moved", "percent-encoded", "trailing-space"):
    def _gf(c, o, f=_form):
        o(c.get("/users/" + _id_forms(c.user("bob"))[f], token=c.su.token))
    case(f"users-get/id-form/{_form}")(_gf)

BAD_IDS = {"word": "arthur", "number": "1", "zero-uuid": "00000000-0000-0000-0000-000000000000",
           "unknown": UNKNOWN_ID, "short-uuid": UNKNOWN_ID[:-1], "long-uuid": UNKNOWN_ID + "0",
           "non-hex": "zzzzzzzz-zzzz-4zzz-8zzz-zzzzzzzzzzzz", "email": "a%40b.com", "unicode": "%C3%A9",
           "nul": "%00", "sql": "1%27%20OR%201%3D1", "bad-utf8": "%FF", "me-upper": "ME", "me-space": "me%20"}
for _name, _id in BAD_IDS.items():
    def _gb(c, o, i=_id):
        o(c.get(f"/users/{i}", token=c.su.token), "get")
        o(c.patch(f"/users/{i}", body={}, token=c.su.token), "patch")
        o(c.delete(f"/users/{i}", token=c.su.token), "delete")
    case(f"users-id/not-found/{_name}")(_gb)

for _verb in ("GET", "PATCH", "DELETE"):
    _area = f"users-{_verb.lower()}"

    def _who(verb=_verb, area=_area):
        def call(c, i, **kw):
            if verb == "PATCH":
                kw.setdefault("body", {})
            return c.req(verb, f"/users/{i}", **kw)

        @case(f"{area}/no-auth")
        def _(c, o):
            o(call(c, c.user("bob").id), "known")
            o(call(c, UNKNOWN_ID), "unknown")
            o(call(c, "arthur"), "not-a-uuid")

        @case(f"{area}/normal-user")
        def _(c, o):
            o(call(c, c.user("bob").id, token=tok(c)), "other")
            o(call(c, c.user("alice").id, token=tok(c)), "self")
            o(call(c, UNKNOWN_ID, token=tok(c)), "unknown")
            o(call(c, "arthur", token=tok(c)), "not-a-uuid")

        @case(f"{area}/normal-user-by-cookie")
        def _(c, o):
            o(call(c, c.user("bob").id, cookie=tok(c)))

        @case(f"{area}/bad-token")
        def _(c, o):
            o(call(c, c.user("bob").id, token="nonsense"))

        @case(f"{area}/inactive-user")
        def _(c, o):
            o(call(c, c.user("bob").id, token=c.user("inactive", inactive=True).token))

        @case(f"{area}/inactive-superuser")
        def _(c, o):
            o(call(c, c.user("bob").id,
                   token=c.user("mordred", superuser=True, inactive=True).token))

        @case(f"{area}/normal-bearer-superuser-cookie")
        def _(c, o):
            o(call(c, c.user("bob").id, token=tok(c), cookie=c.su.token))
    _who()


@case("users-get/by-superuser")
def _(c, o):
    o(c.get(f"/users/{c.user('bob').id}", token=c.su.token), "other")
    o(c.get(f"/users/{c.su.id}", token=c.su.token), "self")
    o(c.get(f"/users/{c.user('inactive', inactive=True).id}", token=c.su.token), "inactive")
    o(c.get(f"/users/{c.user('vera', verified=True).id}", token=c.su.token), "verified")


@case("users-get/by-superuser-cookie")
def _(c, o):
    o(c.get(f"/users/{c.user('bob').id}", cookie=c.su.token))


@case("users-get/deleted")
def _(c, o):
    u = c.fresh(login=False)
    c.delete(f"/users/{u.id}", token=c.su.token)
    o(c.get(f"/users/{u.id}", token=c.su.token))


def _patch_id(name, body, *, after=True, verified=False, inactive=False, login=None):
    def run(c, o):
        u = c.pooled(verified=verified)
        if inactive:
            c.admin(u, is_active=False)
        o(c.patch(f"/users/{u.id}", body=body(c, u) if callable(body) else body, token=c.su.token))
        if after:
            o(c.get(f"/users/{u.id}", token=c.su.token), "after")
        if login:
            o(c.login(u.email, login), "login")
    case(f"users-patch/{name}")(run)


_patch_id("empty-object", {}, verified=True)
_patch_id("is_verified-true", {"is_verified": True})
_patch_id("is_verified-false", {"is_verified": False}, verified=True)
_patch_id("is_active-false", {"is_active": False}, login=PW)
_patch_id("is_active-true", {"is_active": True}, inactive=True, login=PW)
_patch_id("is_superuser-true", {"is_superuser": True})
_patch_id("is_active-null", {"is_active": None})
_patch_id("is_superuser-null", {"is_superuser": None})
_patch_id("is_verified-null", {"is_verified": None})
_patch_id("is_active-string-no", {"is_active": "no"})
_patch_id("is_active-banana", {"is_active": "banana"})
_patch_id("email-new-clears-verified", lambda c, u: {"email": "new-" + u.email}, verified=True)
_patch_id("email-new-with-verified-true", lambda c, u: {"email": "new-" + u.email, "is_verified": True})
_patch_id("email-new-with-verified-first", lambda c, u: {"is_verified": True, "email": "new-" + u.email})
_patch_id("email-same-keeps-verified", lambda c, u: {"email": u.email}, verified=True)
_patch_id("email-same-local-upper", lambda c, u: {"email": u.email.split("@")[0].upper() + "@" + DOMAIN})
_patch_id("email-existing", lambda c, u: {"email": c.user("bob").email}, verified=True)
_patch_id("email-existing-other-case", lambda c, u: {"email": c.user("bob").email.split("@")[0].upper() + "@" + DOMAIN})
_patch_id("email-existing-with-flags", lambda c, u: {"email": c.user("bob").email, "is_verified": True})
_patch_id("email-null", {"email": None})
_patch_id("email-bad", {"email": "nope"})
_patch_id("password-new", {"password": PW2}, login=PW2)
_patch_id("password-weak", {"password": "x"}, login=PW)
_patch_id("password-null", {"password": None}, login=PW)
_patch_id("password-has-target-email", lambda c, u: {"password": f"x{u.email}x"})
_patch_id("password-weak-with-flags", {"password": "x", "is_verified": True})
_patch_id("id", {"id": "33333333-3333-4333-8333-333333333333"})
_patch_id("hashed_password", {"hashed_password": "x"}, login=PW)
_patch_id("unknown-field", {"shoe_size": 44})
_patch_id("everything-at-once", lambda c, u: {"email": "all-" + u.email, "password": PW2, "is_active": True,
                                              "is_superuser": True, "is_verified": True})


@case("users-patch/body-shapes")
def _(c, o):
    i = c.user("bob").id
    for label, (raw, ctype) in {"empty": (b"", JSON), "array": (b"[]", JSON), "null": (b"null", JSON),
                                "malformed": (b"{", JSON), "text-plain": (b"{}", "text/plain")}.items():
        o(c.patch(f"/users/{i}", content=raw, ctype=ctype, token=c.su.token), label)


@case("users-patch/precedence")
def _(c, o):
    bad = {"email": "nope"}
    i = c.user("bob").id
    o(c.patch(f"/users/{UNKNOWN_ID}", body=bad, token=c.su.token), "su-unknown-id-bad-body")
    o(c.patch("/users/arthur", body=bad, token=c.su.token), "su-bad-id-bad-body")
    o(c.patch(f"/users/{i}", body=bad, token=tok(c)), "normal-bad-body")
    o(c.patch(f"/users/{i}", body=bad), "anonymous-bad-body")
    o(c.patch(f"/users/{i}", content=b"{", ctype=JSON), "anonymous-malformed")
    o(c.patch(f"/users/{i}", content=b"{", ctype=JSON, token=tok(c)), "normal-malformed")
    o(c.patch(f"/users/{UNKNOWN_ID}", content=b"{", ctype=JSON, token=c.su.token), "su-unknown-malformed")


@case("users-patch/deactivate-then-user-locked-out")
def _(c, o):
    u = c.fresh()
    o(c.patch(f"/users/{u.id}", body={"is_active": False}, token=c.su.token))
    o(c.me(u.token), "old-token")
    o(c.login(u.email), "login")
    o(c.post("/auth/jwt/logout", token=u.token), "logout")


@case("users-patch/promote-then-use")
def _(c, o):
    u = c.fresh()
    o(c.get(f"/users/{c.user('bob').id}", token=u.token), "before")
    o(c.patch(f"/users/{u.id}", body={"is_superuser": True}, token=c.su.token))
    o(c.get(f"/users/{c.user('bob').id}", token=u.token), "after-same-token")
    o(c.patch(f"/users/{u.id}", body={"is_superuser": False}, token=u.token), "demotes-self")
    o(c.get(f"/users/{c.user('bob').id}", token=u.token), "after-demotion")


@case("users-patch/superuser-deactivates-self")
def _(c, o):
    u = c.fresh(superuser=True)
    o(c.patch(f"/users/{u.id}", body={"is_active": False}, token=u.token))
    o(c.me(u.token), "me")


@case("users-patch/new-password-keeps-old-tokens")
def _(c, o):
    u = c.fresh()
    o(c.patch(f"/users/{u.id}", body={"password": PW2}, token=c.su.token))
    o(c.me(u.token), "old-token")


@case("users-delete/by-superuser")
def _(c, o):
    u = c.fresh()
    o(c.delete(f"/users/{u.id}", token=c.su.token), "first")
    o(c.delete(f"/users/{u.id}", token=c.su.token), "again")
    o(c.me(u.token), "token")
    o(c.login(u.email), "login")
    o(c.post("/auth/jwt/logout", token=u.token), "logout-jwt")
    o(c.post("/auth/cookie/logout", cookie=u.token), "logout-cookie")
    o(c.patch(f"/users/{u.id}", body={}, token=c.su.token), "patch")


@case("users-delete/then-register-same-email")
def _(c, o):
    u = c.fresh()
    c.delete(f"/users/{u.id}", token=c.su.token)
    r = o(c.register(u.email), "register")
    o.fact("new-id-differs", r.field("id") != u.id)
    o(c.me(u.token), "old-token")


@case("users-delete/self")
def _(c, o):
    u = c.fresh(superuser=True)
    o(c.delete(f"/users/{u.id}", token=u.token), "delete")
    o(c.me(u.token), "me")


@case("users-delete/me-word")
def _(c, o):
    o(c.delete("/users/me"), "no-auth")
    o(c.delete("/users/me", token=tok(c)), "normal")
    o(c.delete("/users/me", token=c.su.token), "superuser")


@case("users-delete/body-ignored")
def _(c, o):
    u = c.fresh(login=False)
    o(c.req("DELETE", f"/users/{u.id}", content=b"{", ctype=JSON, token=c.su.token))


@case("users-delete/no-hyphens-id")
def _(c, o):
    u = c.fresh(login=False)
    o(c.delete(f"/users/{u.id.replace('-', '')}", token=c.su.token), "delete")
    o(c.get(f"/users/{u.id}", token=c.su.token), "after")


# =========================================================================== LOGOUT

def leaver(c: Ctx) -> str:
    """A new session of a user whom no other area uses (a server may revoke it on logout)."""
    return c.token(c.user("gawain", login=False))


for _backend in ("jwt", "cookie"):
    def _logout(backend=_backend):
        url = f"/auth/{backend}/logout"
        area = f"logout-{backend}"

        @case(f"{area}/no-auth")
        def _(c, o):
            o(c.post(url))

        @case(f"{area}/bearer")
        def _(c, o):
            o(c.post(url, token=leaver(c)))

        @case(f"{area}/cookie")
        def _(c, o):
            o(c.post(url, cookie=leaver(c)))

        @case(f"{area}/both")
        def _(c, o):
            t = leaver(c)
            o(c.post(url, token=t, cookie=t))

        @case(f"{area}/bad-token")
        def _(c, o):
            o(c.post(url, token="nonsense"), "bearer")
            o(c.post(url, cookie="nonsense"), "cookie")
            o(c.post(url, token="nonsense", cookie="nonsense"), "both")

        @case(f"{area}/inactive")
        def _(c, o):
            o(c.post(url, token=c.user("inactive", inactive=True).token), "bearer")
            o(c.post(url, cookie=c.user("inactive", inactive=True).token), "cookie")

        @case(f"{area}/token-after-logout")
        def _(c, o):
            u = c.fresh()
            o(c.post(url, token=u.token, cookie=u.token), "logout")
            o(c.me(u.token), "bearer-after")
            o(c.get("/users/me", cookie=u.token), "cookie-after")
            o(c.post(url, token=u.token), "logout-again")

        @case(f"{area}/body-ignored")
        def _(c, o):
            o(c.post(url, content=b"{", ctype=JSON, token=leaver(c)), "auth")
            o(c.post(url, content=b"{", ctype=JSON), "no-auth")

        @case(f"{area}/get-method")
        def _(c, o):
            o(c.get(url, token=tok(c)))

        @case(f"{area}/superuser")
        def _(c, o):
            o(c.post(url, token=c.fresh(superuser=True).token))

        @case(f"{area}/other-session-of-same-user-stays")
        def _(c, o):
            a, b = leaver(c), leaver(c)
            o(c.post(url, token=a), "logout")
            o(c.me(b), "other-session")
    _logout()


@case("logout-jwt/expired-token", "forge")
def _(c, o):
    o(c.post("/auth/jwt/logout", token=c.forge(c.user("alice"), exp=int(time.time()) - 60)))


@case("logout-cookie/expired-cookie", "forge")
def _(c, o):
    o(c.post("/auth/cookie/logout", cookie=c.forge(c.user("alice"), exp=int(time.time()) - 60)))


# =========================================================================== FORGOT / RESET

def _ask(name, path, kind, email, expect, *, area):
    def run(c, o):
        pos = c.mark()
        value = email(c)
        c.log.clear()
        o(c.post(path, body={"email": value}))
        got = c.mails(pos, kind, expect)
        o.fact("mails", len(got))
        if got:
            o.fact("mail-to", got[0]["email"])
            o.fact("mail-token", c.claims(got[0]["token"], time.time()))
    case(f"{area}/{name}", "mail")(run)


FORGOT = "/auth/forgot-password"
RESET = "/auth/reset-password"
ASK = "/auth/request-verify-token"
VERIFY = "/auth/verify"
for _path, _kind, _area in ((FORGOT, "reset", "forgot"), (ASK, "verify", "request-verify")):
    _ask("known", _path, _kind, lambda c: c.user("bob").email, True, area=_area)
    _ask("known-local-upper", _path, _kind, lambda c: c.user("bob").email.split("@")[0].upper() + "@" + DOMAIN, True, area=_area)
    _ask("known-domain-upper", _path, _kind, lambda c: c.user("bob").email.split("@")[0] + "@" + DOMAIN.upper(), True, area=_area)
    _ask("known-spaces-around", _path, _kind, lambda c: f" {c.user('bob').email} ", True, area=_area)
    _ask("known-display-name", _path, _kind, lambda c: f"Bob <{c.user('bob').email}>", True, area=_area)
    _ask("unknown", _path, _kind, lambda c: c.addr("nobody"), False, area=_area)
    _ask("inactive", _path, _kind, lambda c: c.user("inactive", inactive=True).email, False, area=_area)
    _ask("verified-user", _path, _kind, lambda c: c.user("vera", verified=True).email, _kind == "reset", area=_area)
    _ask("bad-email", _path, _kind, lambda c: f"nope.{c.run}", False, area=_area)

    for _name, _spec in {
        "missing-field": (b"{}", JSON), "null": (b'{"email":null}', JSON), "number": (b'{"email":5}', JSON),
        "list": (b'{"email":["a@b.com"]}', JSON), "empty-string": (b'{"email":""}', JSON),
        "empty": (b"", JSON), "empty-no-content-type": (b"", None), "array": (b"[]", JSON),
        "bare-string": (b'"a@b-example.com"', JSON), "null-body": (b"null", JSON), "malformed": (b'{"email"', JSON),
        "form": (b"email=a%40b-example.com", URLENC), "text-plain": (b'{"email":"a@b-example.com"}', "text/plain"),
        "no-content-type": (b'{"email":"a@b-example.com"}', None),
        "extra-field": (b'{"email":"nobody@b-example.com","x":1}', JSON),
        "long-email": (b'{"email":"' + b"a" * 300 + b'@b-example.com"}', JSON),
    }.items():
        def _ab(c, o, path=_path, spec=_spec):
            o(c.post(path, content=spec[0], ctype=spec[1]))
        case(f"{_area}/body/{_name}")(_ab)

    def _authed(c, o, path=_path):
        o(c.post(path, body={"email": c.addr("nobody")}, token=tok(c)), "good-token")
        o(c.post(path, body={"email": c.addr("nobody")}, token="nonsense"), "bad-token")
    case(f"{_area}/authorization-is-irrelevant")(_authed)


for _path, _area, _full in ((RESET, "reset", {"password": PW2}), (VERIFY, "verify", {})):
    for _name, _token in {
        "word": "nonsense", "empty": "", "three-parts": "a.b.c", "dots": "..", "spaces": "   ", "unicode": "tökén",
        "long": "a" * 5000, "nul": "a\x00b",
    }.items():
        def _bt(c, o, path=_path, token=_token, full=_full):
            o(c.post(path, body={"token": token, **full}))
        case(f"{_area}/bad-token/{_name}")(_bt)

    def _at(c, o, path=_path, full=_full):
        o(c.post(path, body={"token": tok(c), **full}))
    case(f"{_area}/bad-token/access-token")(_at)

    def _an(c, o, path=_path, full=_full, aud=AUD_RESET if _area == "reset" else AUD_VERIFY):
        u = c.user("alice")
        claims = {"sub": u.id, "email": u.email, "password_fgpt": "x", "aud": aud, "exp": int(time.time()) + 600}
        o(c.post(path, body={"token": sign(claims, "", alg="none"), **full}), "alg-none")
        o(c.post(path, body={"token": sign(claims, "wrong-secret-wrong-secret-wrong-secret"), **full}), "wrong-secret")
    case(f"{_area}/bad-token/unsigned")(_an)

    for _name, _body in {
        "empty-object": {}, "token-null": {"token": None, **_full}, "token-number": {"token": 5, **_full},
        "token-list": {"token": ["x"], **_full}, "token-missing": dict(_full), "extra-field": {"token": "x", **_full, "y": 1},
    }.items():
        def _bb(c, o, path=_path, body=_body):
            o(c.post(path, body=body))
        case(f"{_area}/body/{_name}")(_bb)

    for _name, _spec in {
        "empty": (b"", JSON), "array": (b"[]", JSON), "bare-string": (b'"x"', JSON), "null-body": (b"null", JSON),
        "malformed": (b"{", JSON), "form": (b"token=x&password=abcdef", URLENC),
        "text-plain": (b'{"token":"x","password":"abcdef"}', "text/plain"),
        "no-content-type": (b'{"token":"x","password":"abcdef"}', None),
    }.items():
        def _bs(c, o, path=_path, spec=_spec):
            o(c.post(path, content=spec[0], ctype=spec[1]))
        case(f"{_area}/body/{_name}")(_bs)

for _name, _body in {
    "password-missing": {"token": "x"}, "password-null": {"token": "x", "password": None},
    "password-number": {"token": "x", "password": 123456}, "bad-token-and-weak-password": {"token": "x", "password": "x"},
    "bad-token-and-empty-password": {"token": "x", "password": ""},
}.items():
    def _rb(c, o, body=_body):
        o(c.post(RESET, body=body))
    case(f"reset/body/{_name}")(_rb)


@case("reset/full-flow", "mail")
def _(c, o):
    u = c.fresh()
    t = c.reset_token(u)
    c.log.clear()
    o(c.post(RESET, body={"token": t, "password": PW2}), "reset")
    o(c.login(u.email, PW), "login-old")
    o(c.login(u.email, PW2), "login-new")
    o(c.me(u.token), "old-access-token")
    o(c.post(RESET, body={"token": t, "password": "third-password"}), "token-reuse")
    o(c.login(u.email, PW2), "login-still-second")


@case("reset/weak-password-keeps-token", "mail")
def _(c, o):
    u = c.fresh(login=False)
    t = c.reset_token(u)
    o(c.post(RESET, body={"token": t, "password": "xy"}), "weak")
    o(c.post(RESET, body={"token": t, "password": ""}), "empty")
    o(c.post(RESET, body={"token": t, "password": f"x{u.email}x"}), "has-email")
    o(c.login(u.email, PW), "login-unchanged")
    o(c.post(RESET, body={"token": t, "password": "xyz"}), "good")
    o(c.login(u.email, "xyz"), "login-new")


@case("reset/two-tokens-second-dies-with-first", "mail")
def _(c, o):
    u = c.fresh(login=False)
    a, b = c.reset_token(u), c.reset_token(u)
    o.fact("tokens-differ", a != b)
    o(c.post(RESET, body={"token": a, "password": PW2}), "older")
    o(c.post(RESET, body={"token": b, "password": "third-password"}), "newer")


@case("reset/token-dies-on-password-change", "mail")
def _(c, o):
    u = c.fresh()
    t = c.reset_token(u)
    c.patch("/users/me", body={"password": PW2}, token=u.token)
    o(c.post(RESET, body={"token": t, "password": "third-password"}))


@case("reset/token-dies-on-same-password-change", "mail")
def _(c, o):
    u = c.fresh()
    t = c.reset_token(u)
    c.patch("/users/me", body={"password": PW}, token=u.token)
    o(c.post(RESET, body={"token": t, "password": "third-password"}))


@case("reset/same-password-then-reuse", "mail")
def _(c, o):
    u = c.fresh(login=False)
    t = c.reset_token(u)
    o(c.post(RESET, body={"token": t, "password": PW}), "same")
    o(c.post(RESET, body={"token": t, "password": PW2}), "reuse")


@case("reset/token-survives-email-change-and-login", "mail")
def _(c, o):
    u = c.fresh()
    t = c.reset_token(u)
    c.patch("/users/me", body={"email": "moved-" + u.email}, token=u.token)
    c.login("moved-" + u.email)
    o(c.post(RESET, body={"token": t, "password": PW2}))


@case("reset/user-became-inactive", "mail")
def _(c, o):
    u = c.fresh(login=False)
    t = c.reset_token(u)
    c.admin(u, is_active=False)
    o(c.post(RESET, body={"token": t, "password": PW2}), "good-password")
    o(c.post(RESET, body={"token": t, "password": "x"}), "weak-password")
    c.admin(u, is_active=True)
    o(c.post(RESET, body={"token": t, "password": PW2}), "after-reactivation")


@case("reset/user-deleted", "mail")
def _(c, o):
    u = c.fresh(login=False)
    t = c.reset_token(u)
    c.delete(f"/users/{u.id}", token=c.su.token)
    o(c.post(RESET, body={"token": t, "password": PW2}))


@case("reset/does-not-verify-the-email", "mail")
def _(c, o):
    u = c.fresh()
    o(c.post(RESET, body={"token": c.reset_token(u), "password": PW2}), "reset")
    o(c.me(u.token), "me")


@case("reset/keeps-verified-flag", "mail")
def _(c, o):
    u = c.fresh(verified=True)
    o(c.post(RESET, body={"token": c.reset_token(u), "password": PW2}), "reset")
    o(c.me(u.token), "me")


@case("reset/tampered-genuine-token", "mail")
def _(c, o):
    t = c.once(c.reset_token, c.user("rita"))
    o(c.post(RESET, body={"token": _flip(t, 2), "password": PW2}), "signature")
    o(c.post(RESET, body={"token": _flip(t, 1), "password": PW2}), "payload")
    o(c.post(RESET, body={"token": t + " ", "password": PW2}), "trailing-space")
    o(c.login(c.user("rita").email), "password-unchanged")


@case("reset/verify-token-is-not-a-reset-token", "mail")
def _(c, o):
    o(c.post(RESET, body={"token": c.once(c.verify_token, c.user("rita")), "password": PW2}))


@case("reset/reset-token-is-not-an-access-token", "mail")
def _(c, o):
    t = c.once(c.reset_token, c.user("rita"))
    o(c.me(t), "bearer")
    o(c.get("/users/me", cookie=t), "cookie")


def _resign(name, change, *, area, mint, path, extra):
    """A genuine mailed token, its claims changed and signed again with the right secret."""
    def run(c, o):
        u = c.user("rita")
        parts = peek(mint(c, u))
        if parts is None:
            raise Setup("mailed token is not a JWT")
        claims = change(c, dict(parts[1]))
        o(c.post(path, body={"token": sign(claims, c.secret), **extra}))
    case(f"{area}/resigned/{name}", "mail", "forge")(run)


def _without(*names):
    return lambda c, k: {a: b for a, b in k.items() if a not in names}


def _with(**over):
    return lambda c, k: {**k, **{a: (b(c) if callable(b) else b) for a, b in over.items()}}


_RS = dict(area="reset", mint=lambda c, u: c.once(c.reset_token, u), path=RESET, extra={"password": "xy"})
# the weak new password tells "token accepted" (INVALID_PASSWORD) from "token refused" (BAD_TOKEN)
_resign("unchanged", _with(), **_RS)
_resign("expired", _with(exp=lambda c: int(time.time()) - 5), **_RS)
_resign("exp-missing", _without("exp"), **_RS)
_resign("aud-wrong", _with(aud="other"), **_RS)
_resign("aud-auth", _with(aud=[AUD_AUTH]), **_RS)
_resign("aud-verify", _with(aud=AUD_VERIFY), **_RS)
_resign("aud-list", _with(aud=[AUD_RESET]), **_RS)
_resign("aud-missing", _without("aud"), **_RS)
_resign("sub-missing", _without("sub"), **_RS)
_resign("sub-not-uuid", _with(sub="bob"), **_RS)
_resign("sub-unknown", _with(sub=UNKNOWN_ID), **_RS)
_resign("sub-other-user", _with(sub=lambda c: c.user("alice").id), **_RS)
_resign("fingerprint-missing", _without("password_fgpt"), **_RS)
_resign("fingerprint-empty", _with(password_fgpt=""), **_RS)
_resign("fingerprint-not-a-hash", _with(password_fgpt="abc"), **_RS)
_resign("fingerprint-null", _with(password_fgpt=None), **_RS)
_resign("fingerprint-of-something-else", _with(
    password_fgpt="$argon2id$v=19$m=65536,t=3,p=4$MTIzNDU2Nzg5MDEyMzQ1Ng$K3wfzVTkWQ0tWm4zCcmE7cBvL9pMYhxB9xH2zQ0b5lE"), **_RS)

# =========================================================================== VERIFY

_VS = dict(area="verify", mint=lambda c, u: c.once(c.verify_token, u), path=VERIFY, extra={})
_resign("expired", _with(exp=lambda c: int(time.time()) - 5), **_VS)
_resign("aud-wrong", _with(aud="other"), **_VS)
_resign("aud-reset", _with(aud=AUD_RESET), **_VS)
_resign("aud-missing", _without("aud"), **_VS)
_resign("sub-missing", _without("sub"), **_VS)
_resign("sub-not-uuid", _with(sub="bob"), **_VS)
_resign("sub-unknown", _with(sub=UNKNOWN_ID), **_VS)
_resign("sub-other-user", _with(sub=lambda c: c.user("alice").id), **_VS)
_resign("email-missing", _without("email"), **_VS)
_resign("email-null", _with(email=None), **_VS)
_resign("email-unknown", _with(email=lambda c: c.addr("nobody")), **_VS)
_resign("email-of-other-user", _with(email=lambda c: c.user("alice").email), **_VS)


@case("verify/resigned/email-other-case", "mail", "forge")
def _(c, o):
    u = c.fresh(login=False)
    parts = peek(c.verify_token(u))
    if parts is None:
        raise Setup("mailed token is not a JWT")
    o(c.post(VERIFY, body={"token": sign({**parts[1], "email": u.email.upper()}, c.secret)}))


@case("verify/full-flow", "mail")
def _(c, o):
    u = c.fresh()
    t = c.verify_token(u)
    c.log.clear()
    o(c.post(VERIFY, body={"token": t}), "verify")
    o(c.me(u.token), "me")
    o(c.post(VERIFY, body={"token": t}), "again")
    pos = c.mark()
    o(c.post(ASK, body={"email": u.email}), "ask-again")
    o.fact("mails-after", len(c.mails(pos, "verify", False)))


@case("verify/while-logged-in-as-other-user", "mail")
def _(c, o):
    u = c.fresh()
    o(c.post(VERIFY, body={"token": c.verify_token(u)}, token=tok(c)), "verify")
    o(c.me(u.token), "owner")
    o(c.me(tok(c)), "bystander")


@case("verify/two-tokens", "mail")
def _(c, o):
    u = c.fresh(login=False)
    a, b = c.verify_token(u), c.verify_token(u)
    o(c.post(VERIFY, body={"token": b}), "newer")
    o(c.post(VERIFY, body={"token": a}), "older")


@case("verify/older-of-two-tokens-works", "mail")
def _(c, o):
    u = c.fresh(login=False)
    a = c.verify_token(u)
    c.verify_token(u)
    o(c.post(VERIFY, body={"token": a}))


@case("verify/token-dies-on-email-change", "mail")
def _(c, o):
    u = c.fresh()
    t = c.verify_token(u)
    c.patch("/users/me", body={"email": "moved-" + u.email}, token=u.token)
    o(c.post(VERIFY, body={"token": t}), "verify")
    o(c.me(u.token), "me")


@case("verify/token-lives-again-when-email-comes-back", "mail")
def _(c, o):
    u = c.fresh()
    t = c.verify_token(u)
    c.patch("/users/me", body={"email": "moved-" + u.email}, token=u.token)
    c.patch("/users/me", body={"email": u.email}, token=u.token)
    o(c.post(VERIFY, body={"token": t}))


@case("verify/old-email-taken-by-someone-else", "mail")
def _(c, o):
    u = c.fresh()
    t = c.verify_token(u)
    c.patch("/users/me", body={"email": "moved-" + u.email}, token=u.token)
    r = c.register(u.email)
    o.fact("taken", r.status)
    o(c.post(VERIFY, body={"token": t}))


@case("verify/reuse-after-admin-unverifies", "mail")
def _(c, o):
    u = c.fresh(login=False)
    t = c.verify_token(u)
    c.post(VERIFY, body={"token": t})
    c.admin(u, is_verified=False)
    o(c.post(VERIFY, body={"token": t}))


@case("verify/admin-verified-meanwhile", "mail")
def _(c, o):
    u = c.fresh(login=False)
    t = c.verify_token(u)
    c.admin(u, is_verified=True)
    o(c.post(VERIFY, body={"token": t}))


@case("verify/user-became-inactive", "mail")
def _(c, o):
    u = c.fresh(login=False)
    t = c.verify_token(u)
    c.admin(u, is_active=False)
    o(c.post(VERIFY, body={"token": t}), "verify")
    o(c.get(f"/users/{u.id}", token=c.su.token), "after")


@case("verify/user-deleted", "mail")
def _(c, o):
    u = c.fresh(login=False)
    t = c.verify_token(u)
    c.delete(f"/users/{u.id}", token=c.su.token)
    o(c.post(VERIFY, body={"token": t}), "deleted")
    c.register(u.email)
    o(c.post(VERIFY, body={"token": t}), "same-email-new-user")


@case("verify/token-survives-password-change", "mail")
def _(c, o):
    u = c.fresh()
    t = c.verify_token(u)
    c.patch("/users/me", body={"password": PW2}, token=u.token)
    o(c.post(VERIFY, body={"token": t}))


@case("verify/reset-token-is-not-a-verify-token", "mail")
def _(c, o):
    o(c.post(VERIFY, body={"token": c.once(c.reset_token, c.user("rita"))}))


@case("verify/verify-token-is-not-an-access-token", "mail")
def _(c, o):
    o(c.me(c.once(c.verify_token, c.user("rita"))))


@case("verify/tampered-genuine-token", "mail")
def _(c, o):
    t = c.once(c.verify_token, c.user("rita"))
    o(c.post(VERIFY, body={"token": _flip(t, 2)}), "signature")
    o(c.post(VERIFY, body={"token": _flip(t, 1)}), "payload")


@case("verify/token-in-query", "mail")
def _(c, o):
    t = c.once(c.verify_token, c.user("rita"))
    o(c.post(f"{VERIFY}?token={t}"), "post")
    o(c.get(f"{VERIFY}?token={t}"), "get")


# =========================================================================== HTTP LEVEL

ROUTES = ["/auth/register", FORGOT, RESET, ASK, VERIFY, "/auth/jwt/login", "/auth/jwt/logout",
          "/auth/cookie/login", "/auth/cookie/logout", "/users/me", f"/users/{UNKNOWN_ID}"]


def _slug(path: str) -> str:
    return path.replace(UNKNOWN_ID, "{id}").lstrip("/")


for _path in ROUTES:
    for _m in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
        def _mm(c, o, path=_path, m=_m):
            o(c.req(m, path))
        case(f"http/method/{_m} {_slug(_path)}")(_mm)

    def _ts(c, o, path=_path):
        o(c.post(path + "/", body={}), "post")
        o(c.get(path + "/?a=1&b=%20"), "get-with-query")
        o(c.req("FOO", path + "/"), "odd-method")
    case(f"http/trailing-slash/{_slug(_path)}")(_ts)

for _name, _path in {
    "root": "/", "word": "/nope", "auth": "/auth", "auth-slash": "/auth/", "auth-jwt": "/auth/jwt",
    "auth-cookie": "/auth/cookie/", "users": "/users", "users-slash": "/users/", "path-case": "/AUTH/register",
    "path-case-end": "/auth/Register", "me-deeper": "/users/me/x", "id-deeper": f"/users/{UNKNOWN_ID}/x",
    "double-slash": "/auth//register", "encoded-slash": "/auth%2Fregister", "encoded-letter": "/auth/registe%72",
    "dot-segment": "/auth/./register", "dot-dot-segment": "/users/../auth/register", "semicolon": "/users/me;x=1",
    "unknown-backend": "/auth/saml/login", "logout-without-backend": "/auth/logout", "favicon": "/favicon.ico",
    "leading-double-slash": "//auth/register", "long-path": "/" + "a" * 3000, "nul": "/auth/%00",
    "bad-utf8": "/auth/%ff", "method-of-old-versions": "/login/jwt",
}.items():
    def _np(c, o, path=_path):
        o(c.req("GET", "/", target=path), "get")
        o(c.req("POST", "/", target=path, content=b"{}", ctype=JSON), "post")
    case(f"http/path/{_name}")(_np)

for _m in ("FOO", "TRACE", "PROPFIND", "QUERY"):
    def _om(c, o, m=_m):
        o(c.req(m, "/users/me"), "me")
        o(c.req(m, "/auth/register"), "register")
        o(c.req(m, "/nope"), "unknown")
    case(f"http/odd-method/{_m}")(_om)


@case("http/method-override-headers-ignored")
def _(c, o):
    o(c.post("/users/me", headers=[("x-http-method-override", "GET")], token=tok(c)))


@case("http/head-with-auth")
def _(c, o):
    o(c.req("HEAD", "/users/me", token=tok(c)))


@case("http/cors-preflight")
def _(c, o):
    pre = [("origin", "https://evil.example"), ("access-control-request-method", "POST"),
           ("access-control-request-headers", "content-type")]
    r = o(c.req("OPTIONS", "/auth/register", headers=pre))
    o.fact("cors-headers", sorted(h for h in r.headers if h.startswith("access-control-")))


@case("http/cors-simple-request")
def _(c, o):
    r = o(c.get("/users/me", token=tok(c), headers=[("origin", "https://evil.example")]))
    o.fact("cors-headers", sorted(h for h in r.headers if h.startswith("access-control-")))


@case("http/cross-site-post-with-cookie")
def _(c, o):
    o(c.post("/auth/cookie/logout", cookie=leaver(c), headers=[("origin", "https://evil.example")]))


@case("http/forwarded-headers-in-redirect")
def _(c, o):
    o(c.get("/users/me/", headers=[("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example")]))


@case("http/host-header-in-redirect")
def _(c, o):
    r = c.get("/users/me/", headers=[("host", "evil.example")])
    o.fact("status", r.status)
    o.fact("location", r.headers.get("location"))


@case("http/unicode-in-response-is-utf8")
def _(c, o):
    r = c.register(f"ünïcode.{c.run}@{DOMAIN}")
    o.fact("raw-utf8", "ünïcode".encode() in r.content)
    o.fact("content-type", r.headers.get("content-type"))


@case("http/json-is-compact")
def _(c, o):
    r = c.me(tok(c))
    o.fact("compact", b": " not in r.content and b", " not in r.content)
    o.fact("field-order", list(r.json() or {}))


@case("http/error-body-keys")
def _(c, o):
    o.fact("401", list(c.get("/users/me").json() or {}))
    o.fact("404", list(c.get("/nope").json() or {}))
    o.fact("405", list(c.get("/auth/register").json() or {}))
    o.fact("400", list(c.login(c.user("alice").email, "wrong").json() or {}))
    o.fact("422", list(c.post("/auth/register", body={}).json() or {}))


@case("http/openapi-document")
def _(c, o):
    r = c.get("/openapi.json")
    doc = r.json()
    o.fact("status", r.status)
    doc = doc if isinstance(doc, dict) else {}
    paths = doc.get("paths", {})
    o.fact("operations", sorted(f"{m.upper()} {p}" for p, ops in paths.items() for m in ops))
    o.fact("security-schemes", sorted(doc.get("components", {}).get("securitySchemes", {})))


# =========================================================================== VERIFICATION REQUIRED
# A second server configuration: the auth and users routers require a verified e-mail.

def strict(name):
    return case(f"needs-verified/{name}", "mail", "verified-only")


for _backend in ("jwt", "cookie"):
    def _nv(backend=_backend):
        @strict(f"login-{backend}/unverified")
        def _(c, o):
            o(c.login(c.user("greta", login=False).email, PW, backend))

        @strict(f"login-{backend}/unverified-wrong-password")
        def _(c, o):
            o(c.login(c.user("greta", login=False).email, "wrong", backend))

        @strict(f"login-{backend}/unverified-inactive")
        def _(c, o):
            o(c.login(c.user("gareth", login=False, inactive=True).email, PW, backend))

        @strict(f"login-{backend}/verified")
        def _(c, o):
            o(c.login(c.user("vera", verified=True).email, PW, backend))

        @strict(f"logout-{backend}/unverified")
        def _(c, o):
            u = c.fresh()           # whom no other case uses: a server may end the session
            o(c.post(f"/auth/{backend}/logout", token=u.token), "bearer")
            o(c.post(f"/auth/{backend}/logout", cookie=u.token), "cookie")

        @strict(f"logout-{backend}/verified")
        def _(c, o):
            u = c.fresh(verified=True)
            o(c.post(f"/auth/{backend}/logout", token=u.token), "bearer")
            o(c.post(f"/auth/{backend}/logout"), "none")
    _nv()


@strict("me/unverified")
def _(c, o):
    u = c.user("una")
    o(c.me(u.token), "bearer")
    o(c.get("/users/me", cookie=u.token), "cookie")
    o(c.patch("/users/me", body={}, token=u.token), "patch")
    o(c.patch("/users/me", body={"email": "nope"}, token=u.token), "patch-bad-body")
    o(c.patch("/users/me", content=b"{", ctype=JSON, token=u.token), "patch-malformed")


@strict("me/verified")
def _(c, o):
    o(c.me(c.user("vera", verified=True).token))


@strict("me/unverified-and-inactive")
def _(c, o):
    o(c.me(c.user("ursula", inactive=True).token))


@strict("me/unverified-bearer-verified-cookie")
def _(c, o):
    o(c.get("/users/me", token=c.user("una").token, cookie=c.user("vera", verified=True).token))


@strict("me/email-change-locks-out-until-verified-again")
def _(c, o):
    u = c.fresh(verified=True)
    o(c.patch("/users/me", body={"email": "moved-" + u.email}, token=u.token), "patch")
    o(c.me(u.token), "me")
    u.email = "moved-" + u.email
    o(c.post(VERIFY, body={"token": c.verify_token(u)}), "verify")
    o(c.me(u.token), "me-again")


@strict("users-id/unverified")
def _(c, o):
    i = c.user("vera", verified=True).id
    o(c.get(f"/users/{i}", token=c.user("una").token), "normal")
    o(c.get(f"/users/{i}", token=c.fresh(superuser=True).token), "superuser")
    o(c.get(f"/users/{i}", token=c.su.token), "verified-superuser")
    o(c.get("/users/arthur", token=c.user("una").token), "bad-id")


@strict("forgot/unverified")
def _(c, o):
    pos = c.mark()
    o(c.post(FORGOT, body={"email": c.user("greta", login=False).email}))
    o.fact("mails", len(c.mails(pos, "reset", True)))


# --------------------------------------------------------------------------- running


def choose(args) -> list[str]:
    special = args.profile == "verified"
    return [n for n, (_fn, needs) in CASES.items() if ("verified-only" in needs) == special
            and (not args.only or any(fnmatch.fnmatch(n, g) for g in args.only))
            and not any(fnmatch.fnmatch(n, g) for g in args.leave_out)]


def run_cases(args) -> tuple[dict, list[str], Ctx]:
    ctx = Ctx(args)
    out: dict[str, dict] = {}
    skipped: list[str] = []
    chosen = choose(args)
    if args.mode == "check":                          # a reference of some cases asks for those alone
        recorded = json.load(open(args.reference, encoding="utf-8"))["cases"]
        chosen = [name for name in chosen if name in recorded]
    if not chosen:
        sys.exit("no case matches --only in this --profile")
    try:
        ctx.get("/users/me")
    except (Setup, httpx.HTTPError) as exc:
        sys.exit(f"no HTTP server answers at {ctx.base}: {exc}")
    started, timeouts = time.time(), 0
    for number, name in enumerate(chosen, 1):
        fn, needs = CASES[name]
        if ("mail" in needs and not ctx.token_file) or ("forge" in needs and not ctx.secret):
            skipped.append(name)
            continue
        ctx.case, ctx.serial, ctx.log = name, 0, []
        obs = Obs(ctx)
        try:
            fn(ctx, obs)
        except Setup as exc:
            obs.fields["harness"] = f"setup failed: {ctx.mask(str(exc))}"
        except httpx.HTTPError as exc:
            obs.fields["harness"] = f"http: {type(exc).__name__}"
            if isinstance(exc, httpx.TimeoutException):
                timeouts += 1
                if timeouts > 8:
                    sys.exit(f"giving up: {timeouts} requests took longer than {ctx.timeout:g} s (last in {name})")
        except Exception as exc:                      # a reply so odd that the case could not go on
            obs.fields["harness"] = f"{type(exc).__name__}: {ctx.mask(str(exc))}"
        out[name] = {"requests": ctx.log[:12], "observed": obs.fields}
        ctx.put_back()
        if not args.quiet and number % 50 == 0:
            print(f"  … {number}/{len(chosen)} cases, {time.time() - started:.0f} s", file=sys.stderr)
    return out, skipped, ctx


def shape_of(body):
    """What the shape tier keeps of a 422 body: the locs, and that msg and type are strings."""
    if not (isinstance(body, dict) and isinstance(body.get("json"), dict)):
        return {"not-a-422-shape": body}
    detail = body["json"].get("detail")
    if not isinstance(detail, list):
        return {"detail-is-not-a-list": True}
    rows = []
    for item in detail:
        if not isinstance(item, dict):
            return {"detail-item-is-not-an-object": True}
        loc = item.get("loc")
        if isinstance(loc, list):
            if len(loc) == 2 and isinstance(loc[1], int):     # byte position of a JSON syntax error
                loc = [loc[0], "<position>"]
            loc = json.dumps(loc)
        rows.append([loc, isinstance(item.get("msg"), str), isinstance(item.get("type"), str)])
    return {"rows": sorted(rows, key=str)}


def same(expected: dict, got: dict, field: str, tier: str) -> bool:
    a, b = expected.get(field), got.get(field)
    if a == b and type(a) is type(b):
        return True
    if tier == "shape" and (field == "body" or field.endswith(".body")):
        status = field[:-4] + "status"
        if expected.get(status) == 422 and got.get(status) == 422:
            left = shape_of(a)
            return "rows" in left and left == shape_of(b)
    return False


def read_allow(path: str) -> list[list]:
    """Lines: CASE-GLOB FIELD-GLOB[=GOT-GLOB][&…] reason…  ('#' starts a comment; %20 stands for a space).
    GOT-GLOB is what the server answers instead, as compact JSON; without it any answer is allowed."""
    rows = []
    for no, line in enumerate(open(path, encoding="utf-8"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        parts = line.split(None, 2)
        if len(parts) < 3:
            sys.exit(f"{path}:{no}: need CASE FIELD REASON")
        name, fields = parts[0].replace("%20", " "), parts[1].replace("%20", " ").split("&")
        for field, _, got in (text.partition("=") for text in fields):
            rows.append([name, field, got or "*", parts[2], 0])
    return rows


def allows(row: list, name: str, field: str, got) -> bool:
    text = json.dumps(got, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return all(fnmatch.fnmatchcase(value, glob) for value, glob in zip((name, field, text), row))


def brief(value, limit=420) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= limit else text[:limit] + "…"


def versions() -> dict:
    from importlib import metadata
    names = ("fastapi-users", "fastapi", "starlette", "pydantic", "email-validator", "pyjwt", "pwdlib",
             "argon2-cffi", "python-multipart", "uvicorn", "fastapi-users-db-sqlalchemy")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return found


def cmd_record(args) -> int:
    started = time.time()
    cases, skipped, ctx = run_cases(args)
    broken = [n for n, v in cases.items() if "harness" in v["observed"]]
    doc = {"meta": {"versions": versions(), "recorded": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    "cases": len(cases), "skipped": skipped}, "cases": cases}
    with open(args.out, "w", encoding="utf-8") as dst:
        json.dump(doc, dst, indent=1, ensure_ascii=False, sort_keys=True)
        dst.write("\n")
    for name in broken:
        print(f"BROKEN {name}: {cases[name]['observed']['harness']}")
    print(f"recorded {len(cases)} cases ({len(skipped)} skipped, {len(broken)} broken), "
          f"{ctx.requests} requests, {time.time() - started:.0f} s -> {args.out}")
    return 1 if broken else 0


def cmd_check(args) -> int:
    started = time.time()
    reference = json.load(open(args.reference, encoding="utf-8"))["cases"]
    allow = [row for path in args.allow for row in read_allow(path)]
    cases, skipped, ctx = run_cases(args)
    areas: dict[str, list[int]] = {}
    report, equal, with_allowed, with_own, shape_equal = {}, 0, 0, 0, 0
    for name, entry in cases.items():
        got = entry["observed"]
        area = areas.setdefault(name.split("/")[0], [0, 0])
        area[1] += 1
        if name not in reference:
            print(f"DIFF {name}  no reference for this case")
            report[name] = [{"field": "*", "expected": None, "got": got, "allowed": None}]
            continue
        want = reference[name]["observed"]
        fields = sorted(set(want) | set(got))
        bad = [f for f in fields if not same(want, got, f, args.tier)]
        shape_equal += not [f for f in fields if not same(want, got, f, "shape")]
        rows, open_rows, own = [], 0, False
        for field in bad:
            reason = None
            for row in allow:
                if allows(row, name, field, got.get(field, "<absent>")):
                    reason = row[3]
                    row[4] += 1
                    own |= row[0] != "*"
                    break
            open_rows += reason is None
            rows.append({"field": field, "expected": want.get(field, "<absent>"),
                         "got": got.get(field, "<absent>"), "allowed": reason})
        if rows:
            report[name] = rows
        if open_rows:
            if not args.quiet:
                print(f"DIFF {name}    [{'; '.join(entry['requests'][:4])}]")
        for row in rows:
            if row["allowed"] is None:
                if not args.quiet:
                    print(f"     {row['field']}\n       expected {brief(row['expected'])}\n       got      {brief(row['got'])}")
            elif args.show_allowed:
                print(f"ALLOWED {name} {row['field']}: {row['allowed']}")
        if not open_rows:
            equal += 1
            area[0] += 1
            with_allowed += bool(rows)
            with_own += own
    missing = [n for n in reference if n not in cases and n not in skipped and
               (not args.only or any(fnmatch.fnmatch(n, g) for g in args.only)) and
               not any(fnmatch.fnmatch(n, g) for g in args.leave_out)]
    for name in missing:
        print(f"NOTE {name} is in the reference but this harness has no such case")
    needless = [row for row in allow if not row[4]]
    for row in needless:
        if args.show_allowed or args.no_needless:
            print(f"NEEDLESS allowance, no case differs so: {row[0]} {row[1]}={row[2]}  {row[3]}")
    if args.report:
        with open(args.report, "w", encoding="utf-8") as dst:
            json.dump({"tier": args.tier, "differences": report, "skipped": skipped}, dst, indent=1, ensure_ascii=False)
    if ctx.throttled:
        print(f"NOTE {ctx.throttled} replies were 429: switch the server's rate limits off for this run")
    print("area                 equal  of")
    for name, (good, total) in areas.items():
        print(f"  {name:<18} {good:>5} {total:>4}{'' if good == total else '   <--'}")
    print(f"tier {args.tier}; {with_allowed} cases equal only thanks to --allow; {len(skipped)} skipped; "
          f"in tier shape without --allow {shape_equal} of {len(cases)}; {ctx.requests} requests, {time.time() - started:.0f} s")
    everywhere = [f"{row[1]} ({row[4]} times)" for row in allow if row[0] == "*" and row[4]]
    if everywhere:
        print(f"allowed in every case, and not counted below: {', '.join(everywhere)}")
    print(f"{equal - with_own} of {len(cases)} cases equal, {with_own} by allowance")
    good = equal == len(cases) and cases and not missing and not (args.no_needless and needless)
    return 0 if good else 1


def main() -> int:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = top.add_subparsers(dest="mode", required=True)
    for mode in ("record", "check", "list"):
        p = sub.add_parser(mode)
        p.add_argument("--only", action="append", help="run only the cases that match this glob (repeatable)")
        p.add_argument("--leave-out", action="append", default=[], help="run no case that matches this glob (repeatable)")
        p.add_argument("-q", "--quiet", action="store_true")
        p.add_argument("--profile", choices=("default", "verified"), default="default",
                       help="verified: the server's auth and users routers require a verified e-mail")
        if mode == "list":
            continue
        p.add_argument("--base-url", required=True)
        p.add_argument("--make-superuser", required=True, metavar="CMD")
        p.add_argument("--token-file")
        p.add_argument("--secret", default=os.environ.get("PARITY_SECRET", DEFAULT_SECRET))
        p.add_argument("--insecure", action="store_true", help="do not verify the TLS certificate")
        p.add_argument("--timeout", type=float, default=30.0, help="seconds per request")
        p.add_argument("--mail-timeout", type=float, default=10.0, help="seconds to wait for an expected token")
        p.add_argument("--mail-quiet", type=float, default=0.4, help="seconds to watch that no token is mailed")
        if mode == "record":
            p.add_argument("--out", default="reference.json")
        else:
            p.add_argument("--reference", default="reference.json")
            p.add_argument("--tier", choices=("strict", "shape"), default="strict")
            p.add_argument("--allow", action="append", default=[], help="the allowances of this file (repeatable)")
            p.add_argument("--show-allowed", action="store_true")
            p.add_argument("--no-needless", action="store_true",
                           help="fail also when a line of --allow is needed by no case")
            p.add_argument("--report", metavar="OUT.json")
    args = top.parse_args()
    if args.mode == "list":
        names = choose(args)
        for name in names:
            needs = CASES[name][1]
            print(name + (f"   (needs {', '.join(sorted(needs))})" if needs else ""))
        print(f"{len(names)} cases")
        return 0
    return {"record": cmd_record, "check": cmd_check}[args.mode](args)


if __name__ == "__main__":
    raise SystemExit(main())
