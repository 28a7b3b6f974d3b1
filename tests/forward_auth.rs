//! A proxy in front of another service lets in whom the gateway knows: nginx, with the configuration that README gives.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Answer, Http, PASSWORD, Stack, claims, free_port, repository};

const EMAIL: &str = "king.arthur@camelot.bt";

/// An nginx in front of an application that answers with what it was sent.
struct Proxy {
    port: u16,
    nginx: Child,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// With the configuration in README, which names other ports.
    async fn in_front_of(gateway: u16) -> Self {
        let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
        let (_, rest) = readme.split_once("```nginx\n").expect("README shows how to configure nginx");
        let (server, _) = rest.split_once("```").unwrap();
        let (port, application) = (free_port(), start_application());
        let mut server = server.to_owned();
        for (written, real) in [
            ("listen 8080", format!("listen 127.0.0.1:{port}")),
            ("127.0.0.1:3000", format!("127.0.0.1:{application}")),
            ("127.0.0.1:8000", format!("127.0.0.1:{gateway}")),
        ] {
            assert!(server.contains(written), "README does not say {written}");
            server = server.replace(written, &real);
        }
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
            .collect();
        let user = if is_root() { "user root;" } else { "" };
        let configuration = format!(
            "daemon off; {user} pid {place}/pid; error_log stderr; worker_processes 1; events {{}}\n\
             http {{ access_log off; {temporary} {server} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(&file).arg("-p").arg(folder.path()).stdin(Stdio::null());
        let nginx = nginx.spawn().expect("nginx is installed by tests/run");
        let mut proxy = Self { port, nginx, _folder: folder };
        proxy.until_it_listens();
        proxy
    }

    fn until_it_listens(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.nginx.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "nginx does not start: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn http(&self) -> Http {
        Http::new(self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its workers go with it when it is asked to stop.
        let _ = Command::new("kill").arg(self.nginx.id().to_string()).status();
        let _ = self.nginx.wait();
    }
}

/// Whether this process may do anything.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// An application that shows in its answer what reached it. Its port.
fn start_application() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut said, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or_default() <= 2 {
                    break;
                }
                let line = line.to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                said += &line;
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            said += &String::from_utf8(body).unwrap();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", said.len());
            let _ = stream.write_all((head + &said).as_bytes());
        }
    });
    port
}

/// Whether the application was reached, and told who calls.
fn assert_names(answer: &Answer, token: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    for (header, claim) in [("x-user-id", "sub"), ("x-session-id", "sid")] {
        let told: Vec<_> = answer.body.lines().filter(|line| line.starts_with(header)).collect();
        assert_eq!(
            told,
            [format!("{header}: {}", claims(token)[claim].as_str().unwrap())],
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn nginx_lets_in_whom_the_gateway_knows_and_tells_the_application_who_it_is() {
    let stack = Stack::start().await;
    let (_, token) = stack.user(EMAIL).await;
    let proxy = Proxy::in_front_of(stack.gateway.port).await;
    let http = proxy.http();
    assert_names(&http.bare("GET", "/page?a=b", &token).await, &token);
    let by_cookie = http.request("GET", "/").header("cookie", format!("fastapiusersauth={token}"));
    assert_names(&http.send(by_cookie).await, &token);
    // What a client says of himself is replaced; what he sends gets there.
    let lie = http.request("POST", "/").bearer_auth(&token).header("x-user-id", "merlin");
    let answer = http.send(lie.header("x-session-id", "his").body("a body")).await;
    assert_names(&answer, &token);
    assert!(answer.body.ends_with("a body"), "{}", answer.body);
    let encoded = http.request("POST", "/").bearer_auth(&token).header("content-encoding", "gzip");
    assert_names(&http.send(encoded.body("not looked at")).await, &token);
}

#[tokio::test]
async fn nginx_keeps_out_everybody_else_and_whom_nobody_can_judge() {
    let mut stack = Stack::start().await;
    let (_, token) = stack.user(EMAIL).await;
    let other = stack.http().token(EMAIL, PASSWORD).await;
    let proxy = Proxy::in_front_of(stack.gateway.port).await;
    let http = proxy.http();
    for nobody in ["", "nonsense"] {
        let answer = http.bare("GET", "/", nobody).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{answer:?}");
        assert!(!answer.body.contains("host:"), "the application was reached");
    }
    assert_eq!(stack.http().bare("POST", "/auth/jwt/logout", &token).await.status, 204);
    let is_refused = async || http.bare("GET", "/", &token).await.status == 401;
    stack.gateway.until("told of the logout", Duration::from_secs(2), is_refused).await;
    assert_names(&http.bare("GET", "/", &other).await, &other);
    stack.identity.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let answer = http.bare("GET", "/", &other).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(!answer.body.contains("host:"), "the application was reached");
}
