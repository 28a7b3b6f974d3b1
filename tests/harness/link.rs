//! A TCP proxy of ours for one link: what talks to its port talks to the target, until a test makes the link slow,
//! cuts it or lets it hang. It runs in a thread of its own, so that a test that blocks does not stall it.

use std::net::{Ipv4Addr, TcpListener as Listener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// How many pieces may be on their way at once, in each direction of a connection.
const PIECES: usize = 1024;

/// A link to one port. Dropping it cuts all connections.
pub struct Link {
    /// Where to connect to instead of the target.
    pub port: u16,
    weather: Option<watch::Sender<Weather>>,
    hook: Arc<Mutex<Hook>>,
    accepted: Arc<Mutex<Vec<std::time::Instant>>>,
    thread: Option<JoinHandle<()>>,
}

/// What a hook says to a piece of what a client sends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// It is passed on.
    Pass,
    /// It is passed on, and then both sides are cut off: nothing that the server says from now on gets through.
    Cut,
    /// The same after so long, in which the server may do what it was asked to: only its answer is lost.
    CutAfter(Duration),
}

/// Sees each piece that any client sends, just before it is passed on. A small message comes in one piece.
type Hook = Box<dyn FnMut(&[u8]) -> Verdict + Send>;

/// How the link is at a moment.
#[derive(Clone, Copy, Default)]
struct Weather {
    to_server: Duration,
    to_client: Duration,
    is_held: bool,
    /// Whether only what clients say gets through.
    is_halved: bool,
    is_closed: bool,
    cuts: usize,
}

impl Link {
    /// A link to this port of loopback. Nothing need listen there yet.
    pub fn to(target: u16) -> Self {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        listener.set_nonblocking(true).expect("is legal");
        let port = listener.local_addr().expect("is bound").port();
        let (weather, looking) = watch::channel(Weather::default());
        let accepted = Arc::default();
        let hook: Arc<Mutex<Hook>> = Arc::new(Mutex::new(Box::new(|_| Verdict::Pass)));
        let (counter, asked) = (Arc::clone(&accepted), Arc::clone(&hook));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(accept(listener, target, looking, counter, asked));
        });
        Self { port, weather: Some(weather), hook, accepted, thread: Some(thread) }
    }

    /// From now on everything takes so much longer, each way.
    pub fn delay(&self, to_server: Duration, to_client: Duration) {
        self.change(|weather| (weather.to_server, weather.to_client) = (to_server, to_client));
    }

    /// Cuts all connections (RST to both sides); new ones are welcome.
    pub fn cut(&self) {
        self.change(|weather| weather.cuts += 1);
    }

    /// Swallows all bytes and ends of connections, as a dead machine would: connections stay open, new ones lead
    /// nowhere, nobody is told anything.
    pub fn hold(&self) {
        self.change(|weather| weather.is_held = true);
    }

    /// Swallows what the server says, and lets through what clients say: it hears them, and they hear nothing.
    pub fn halve(&self) {
        self.change(|weather| weather.is_halved = true);
    }

    /// Lets bytes through again. A connection that has lost some, or was made meanwhile, is cut.
    pub fn release(&self) {
        self.change(|weather| (weather.is_held, weather.is_halved) = (false, false));
    }

    /// Cuts all connections and resets new ones at once, as a dead process on a living machine.
    pub fn close(&self) {
        self.change(|weather| (weather.is_closed, weather.cuts) = (true, weather.cuts + 1));
    }

    /// Takes new connections again after [`Link::close`].
    pub fn open(&self) {
        self.change(|weather| weather.is_closed = false);
    }

    /// From now on this is asked about every piece that a client sends.
    pub fn watch(&self, hook: impl FnMut(&[u8]) -> Verdict + Send + 'static) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(hook);
    }

    /// How many connections were ever tried.
    pub fn accepted(&self) -> usize {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// When connections were tried since a moment.
    pub fn accepted_since(&self, moment: std::time::Instant) -> Vec<std::time::Instant> {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.iter().copied().filter(|time| *time >= moment).collect()
    }

    fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.as_ref().expect("is taken by drop only").send_modify(change);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Its end ends the thread.
        drop(self.weather.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What the two directions of a connection share.
struct Line {
    weather: watch::Receiver<Weather>,
    hook: Arc<Mutex<Hook>>,
    /// Whether bytes were swallowed.
    is_torn: AtomicBool,
    /// Whether the hook has spoken: the client hears no more.
    is_mute: AtomicBool,
    /// The hook wants an end.
    over: Notify,
}

async fn accept(
    listener: Listener,
    target: u16,
    mut weather: watch::Receiver<Weather>,
    accepted: Arc<Mutex<Vec<std::time::Instant>>>,
    hook: Arc<Mutex<Hook>>,
) {
    let listener = TcpListener::from_std(listener).expect("there is a runtime");
    loop {
        let client = tokio::select! {
            client = listener.accept() => client,
            // An error says that the link is dropped.
            changed = weather.changed() => match changed { Ok(()) => continue, Err(_) => return },
        };
        let Ok((client, _)) = client else { continue };
        accepted.lock().unwrap_or_else(PoisonError::into_inner).push(std::time::Instant::now());
        let line = Line {
            weather: weather.clone(),
            hook: Arc::clone(&hook),
            is_torn: AtomicBool::new(false),
            is_mute: AtomicBool::new(false),
            over: Notify::new(),
        };
        tokio::spawn(connection(client, target, line));
    }
}

async fn connection(mut client: TcpStream, target: u16, line: Line) {
    let now = *line.weather.borrow();
    let reset = |stream: &TcpStream| drop(stream.set_zero_linger());
    if now.is_held {
        until(&line, |weather| !weather.is_held).await;
    }
    if now.is_held || now.is_closed {
        return reset(&client);
    }
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
        return reset(&client);
    };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let ended = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let is_torn = || line.is_torn.load(Ordering::Relaxed);
        tokio::select! {
            _ = async { tokio::join!(forth(from_client, to_server, &line), back(from_server, to_client, &line)) } => true,
            () = line.over.notified() => false,
            () = until(&line, |weather| weather.cuts != now.cuts || (!weather.is_held && !weather.is_halved && is_torn())) => false,
        }
    };
    if !ended {
        reset(&client);
        // A reset would destroy what the server has not read yet, and the hook has promised to pass it on.
        if !line.is_mute.load(Ordering::Relaxed) {
            reset(&server);
        }
    }
}

/// Waits until the link is so; for ever when it is dropped.
async fn until(line: &Line, condition: impl Fn(&Weather) -> bool) {
    if line.weather.clone().wait_for(condition).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Passes on what the client says.
async fn forth(from: ReadHalf<'_>, mut to: WriteHalf<'_>, line: &Line) {
    let (sender, mut pieces) = mpsc::channel(PIECES);
    let read = read(from, sender, line, |weather| (weather.to_server, weather.is_held));
    let write = async {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            let verdict = line.hook.lock().unwrap_or_else(PoisonError::into_inner)(&piece);
            line.is_mute.fetch_or(verdict != Verdict::Pass, Ordering::Relaxed);
            if to.write_all(&piece).await.is_err() {
                line.over.notify_one();
            }
            match verdict {
                Verdict::Pass => continue,
                Verdict::Cut => {}
                Verdict::CutAfter(time) => sleep(time).await,
            }
            line.over.notify_one();
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

/// Passes on what the server says.
async fn back(from: ReadHalf<'_>, mut to: WriteHalf<'_>, line: &Line) {
    let (sender, mut pieces) = mpsc::channel(PIECES);
    let read = read(from, sender, line, |weather| (weather.to_client, weather.is_held || weather.is_halved));
    let write = async {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if !line.is_mute.load(Ordering::Relaxed) && to.write_all(&piece).await.is_err() {
                line.over.notify_one();
            }
        }
        if !line.is_mute.load(Ordering::Relaxed) {
            let _ = to.shutdown().await;
        }
    };
    tokio::join!(read, write);
}

/// Reads pieces and says when each is due. How late it is in this direction, and whether all is swallowed, the last
/// argument says.
async fn read(
    mut from: ReadHalf<'_>,
    sender: mpsc::Sender<(Instant, Vec<u8>)>,
    line: &Line,
    state: impl Fn(&Weather) -> (Duration, bool),
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await;
        let (delay, is_held) = state(&line.weather.borrow());
        if is_held {
            line.is_torn.store(true, Ordering::Relaxed);
        }
        match length {
            // The link ends by itself once it is released.
            _ if is_held && length.as_ref().map_or(true, |length| *length == 0) => {
                std::future::pending::<()>().await;
            }
            Ok(0) => return,
            Err(_) => return line.over.notify_one(),
            Ok(_) if is_held => {}
            Ok(length) => {
                let due = Instant::now() + delay;
                if sender.send((due, buffer[..length].to_vec())).await.is_err() {
                    return;
                }
            }
        }
    }
}
