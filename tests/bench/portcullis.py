"""Starts Portcullis as an operator would: identity-service, and gateways in front of it. All log warnings only."""
import base64
import secrets

from processes import ROOT
from systems import BCRYPT_COST, System, free_port, listens

PROGRAMS = ROOT / "target/release"


class Portcullis:
    """A running identity-service, on the database with this URL. Its name stands before those of its processes."""

    def __init__(self, processes, url, name="", bcrypt_cost=BCRYPT_COST):
        self.processes, self.name = processes, name
        self.port = free_port()
        self.origin = f"http://localhost:{self.port}"
        self.process = processes.start(f"{name}identity-service", [PROGRAMS / "identity-service", "serve"], {
            "DATABASE_URL": url,
            "ISSUER": self.origin,
            "PASSWORD_PEPPER": base64.b64encode(secrets.token_bytes(32)).decode(),
            "KEY_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "LISTEN_ADDRESS": f"127.0.0.1:{self.port}",
            "BCRYPT_COST": str(bcrypt_cost),
            "LOG": "warn",
        })
        processes.wait_until(self.process, lambda: listens(self.port))

    def begin_gateway(self, name="gateway", variables=None):
        """Starts a gateway, and does not wait until it is ready."""
        port = free_port()
        process = self.processes.start(f"{self.name}{name}", [PROGRAMS / "gateway", "serve"], {
            "IDENTITY_SERVICE_URL": f"http://127.0.0.1:{self.port}",
            "PUBLIC_ORIGIN": self.origin,
            "LISTEN_ADDRESS": f"127.0.0.1:{port}",
            "LOG": "warn",
            **(variables or {}),
        })
        return process, System(port, {"gateway": process.pid, "identity-service": self.process.pid})

    def start_gateway(self, name="gateway", variables=None):
        process, system = self.begin_gateway(name, variables)
        self.processes.wait_until(process, lambda: system.answers("/health/ready"))
        return system
