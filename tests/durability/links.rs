//! The link itself: tests that break things stand on what it does.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{Link, Verdict, connect};

const WHILE: Duration = Duration::from_millis(100);

/// Something that says back what it hears; its port.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    let _ = stream.write_all(&buffer[..length]);
                }
            });
        }
    });
    port
}

/// Says something; what comes back, and after how long.
fn say(stream: &mut TcpStream, word: &str) -> (Result<String, ErrorKind>, Duration) {
    let started = Instant::now();
    let mut buffer = [0; 1024];
    let heard = stream.write_all(word.as_bytes()).and_then(|()| stream.read(&mut buffer));
    let heard = heard.map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
    (heard.map_err(|error| error.kind()), started.elapsed())
}

fn hears(stream: &mut TcpStream, word: &str) -> bool {
    say(stream, word).0.as_deref() == Ok(word)
}

fn is_cut(stream: &mut TcpStream) -> bool {
    matches!(say(stream, "x").0, Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

#[test]
fn a_link_passes_on_and_is_slow_cut_or_closed_when_it_is_told_so() {
    let link = Link::to(echo());
    let mut stream = connect(link.port);
    assert!(hears(&mut stream, "one"));
    link.delay(WHILE, WHILE);
    let (heard, took) = say(&mut stream, "two");
    assert!(heard.as_deref() == Ok("two") && took >= 2 * WHILE, "{heard:?} {took:?}");
    link.delay(Duration::ZERO, Duration::ZERO);
    assert!(hears(&mut stream, "three"));
    link.cut();
    assert!(is_cut(&mut stream));
    stream = connect(link.port);
    assert!(hears(&mut stream, "four"));
    link.close();
    assert!(is_cut(&mut stream) && is_cut(&mut connect(link.port)));
    link.open();
    assert!(hears(&mut connect(link.port), "five"));
    assert_eq!(link.accepted(), 4);
}

#[test]
fn a_held_link_swallows_what_is_said_and_cuts_who_has_lost_something() {
    let link = Link::to(echo());
    let (mut busy, mut idle) = (connect(link.port), connect(link.port));
    assert!(hears(&mut busy, "one") && hears(&mut idle, "one"));
    link.hold();
    busy.set_read_timeout(Some(WHILE)).unwrap();
    let mut new = connect(link.port);
    new.set_read_timeout(Some(WHILE)).unwrap();
    for stream in [&mut busy, &mut new] {
        assert!(matches!(say(stream, "x").0, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)));
    }
    link.release();
    assert!(is_cut(&mut busy) && is_cut(&mut new) && hears(&mut idle, "two"));
}

#[test]
fn a_hook_cuts_a_connection_after_it_has_passed_a_message_on() {
    let (port, heard) = (echo(), std::sync::mpsc::channel());
    let behind = Link::to(port);
    behind.watch(move |said| {
        let _ = heard.0.send(said.to_vec());
        Verdict::Pass
    });
    let link = Link::to(behind.port);
    for verdict in [Verdict::Cut, Verdict::CutAfter(WHILE)] {
        link.watch(move |said| if said == b"COMMIT" { verdict } else { Verdict::Pass });
        let mut stream = connect(link.port);
        assert!(hears(&mut stream, "BEGIN"));
        let (answer, took) = say(&mut stream, "COMMIT");
        assert_eq!(answer, Err(ErrorKind::ConnectionReset), "the answer got through");
        assert!(verdict == Verdict::Cut || took >= WHILE, "{took:?}");
        let heard = |said: &[u8]| heard.1.recv_timeout(Duration::from_secs(5)).unwrap() == said;
        assert!([&b"BEGIN"[..], b"COMMIT"].into_iter().all(heard));
    }
}
