//! A pgbouncer between a service and its database, as operators have it.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{Cluster, free_port};

/// A running pgbouncer.
pub struct Pooler {
    pub port: u16,
    child: Child,
}

impl Pooler {
    /// In front of this cluster; `mode` is `session`, `transaction` or `statement`, and `size` the most connections
    /// to a database.
    pub fn start(cluster: &Cluster, mode: &str, size: u16) -> Self {
        let port = free_port();
        let (mut command, place) = cluster.as_owner("pgbouncer".as_ref());
        let password = std::fs::read_to_string(cluster.folder().join("password")).expect("has a password");
        cluster.put(&format!("users-{port}"), &format!("\"portcullis\" \"{password}\"\n"));
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {place}/users-{port}\npool_mode = {mode}\n\
             default_pool_size = {size}\nmax_client_conn = 200\n",
            cluster.port()
        );
        cluster.put(&format!("pooler-{port}"), &settings);
        command.arg("--quiet").arg(format!("{place}/pooler-{port}"));
        let child = command.stdin(Stdio::null()).spawn().expect("pgbouncer is installed by tests/run");
        let mut pooler = Self { port, child };
        pooler.until_it_listens();
        pooler
    }

    fn until_it_listens(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().expect("is ours");
            assert!(ended.is_none() && Instant::now() < deadline, "pgbouncer does not start: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
