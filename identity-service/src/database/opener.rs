//! Opens connections: encrypted as configured, to a server that accepts writes, with the limits of a session, and after
//! failures with pauses in between.

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use diesel_async::AsyncPgConnection;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::servers::Servers;
use crate::error::{Error, Result};

/// How long a connection may take to open, at all servers together.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// Opens connections to the servers of the database, one at a time.
pub(super) struct Opener {
    servers: Servers,
    /// The number of the one to try first: what took us last, or comes after what was tried in vain last.
    first: AtomicUsize,
    pause: Mutex<Pause>,
}

/// When the next connection may be tried. Every replica pauses by itself and by chance, so that a server that comes
/// back, or has no connection left, is not run down.
struct Pause {
    lengths: ExponentialBackoff,
    until: Instant,
    cause: String,
}

impl Opener {
    pub(super) fn new(servers: Servers) -> Self {
        Self { servers, first: AtomicUsize::new(0), pause: Mutex::new(Pause::none()) }
    }

    /// Opens a connection and sets up its session by these statements. Fails at once in the pause after a failure.
    ///
    /// # Errors
    /// [`Error::Internal`] when a server refuses us, or we refuse it, for good: waiting does not mend that. Else
    /// [`Error::DatabaseUnavailable`].
    pub(super) async fn open(&self, setup: &str) -> Result<AsyncPgConnection> {
        let mut pause = self.pause.lock().await;
        if Instant::now() < pause.until {
            return Err(Error::DatabaseUnavailable(pause.cause.clone().into()));
        }
        // It counts as failed until it has succeeded: whoever waits for it may give up meanwhile.
        pause.until = Instant::now() + pause.lengths.next().unwrap_or(LIMIT);
        let opened = timeout(LIMIT, async { set_up(self.connect().await?, setup).await }).await;
        let opened = opened.unwrap_or_else(|elapsed| Err(Error::DatabaseUnavailable(elapsed.into())));
        match &opened {
            Ok(_) => *pause = Pause::none(),
            Err(error) => pause.cause = error.source().map_or_else(|| error.to_string(), ToString::to_string),
        }
        opened
    }

    /// How connections are encrypted.
    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.servers.tls.clone()
    }

    /// A connection of which nothing is known but that it is open: for what must see the session as it is.
    pub(super) async fn open_bare(&self) -> Result<Client> {
        let (client, connection) = self.connect().await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Each server in turn, until one takes us; one that hangs leaves time for the others, and comes last the next time,
    /// also when whoever waits for it gives up.
    async fn connect(&self) -> Result<Connected> {
        let Servers { each, tls } = &self.servers;
        let share = LIMIT / u32::try_from(each.len()).unwrap_or(u32::MAX);
        let mut failure = Error::DatabaseUnavailable("DATABASE_URL names no server".into());
        let first = self.first.load(Ordering::Relaxed);
        for number in (first..first + each.len()).map(|number| number % each.len()) {
            self.first.store(number + 1, Ordering::Relaxed);
            failure = match timeout(share, each[number].connect(tls.clone())).await {
                Ok(Ok(connected)) => {
                    self.first.store(number, Ordering::Relaxed);
                    return Ok(connected);
                }
                Ok(Err(error)) => {
                    let said = format!("Postgres (DATABASE_URL): {}", describe(&error)).into();
                    if is_refusal(&error) { Error::Internal(said) } else { Error::DatabaseUnavailable(said) }
                }
                Err(elapsed) => Error::DatabaseUnavailable(elapsed.into()),
            };
        }
        Err(failure)
    }
}

impl Pause {
    /// The next connection may be tried at once. After a failure it is 100 to 200 ms, then twice that, up to 0.8 to 1.6 s.
    fn none() -> Self {
        let lengths = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_millis(800))
            .with_jitter()
            .without_max_times()
            .build();
        Self { lengths, until: Instant::now(), cause: "the last try has not ended".to_owned() }
    }
}

type TlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
type Connected = (Client, tokio_postgres::Connection<Socket, TlsStream>);

/// The session is set up by statements, not by options of the start: a pooler would not pass these on.
async fn set_up((client, mut connection): Connected, setup: &str) -> Result<AsyncPgConnection> {
    // Until the connection belongs to Diesel, nobody else drives it.
    let ready = async {
        tokio::select! {
            done = client.batch_execute(setup) => done.map_err(|error| describe(&error)),
            ended = &mut connection => Err(ended.map_or_else(|error| describe(&error), |()| "closed".to_owned())),
        }
    };
    ready.await.map_err(|said| Error::DatabaseUnavailable(said.into()))?;
    AsyncPgConnection::try_from_client_and_connection(client, connection)
        .await
        .map_err(|error| Error::DatabaseUnavailable(error.into()))
}

/// Whether a server refuses us by name, password or database (classes 28 and 3D of the SQLSTATE), or cannot talk TLS as
/// is asked for, or is not the one that its certificate should name.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let by_server = error.code().is_some_and(|state| ["28", "3D"].contains(&&state.code()[..2]));
    let tls = |cause: &(dyn std::error::Error + 'static)| {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>())
    };
    let causes = || std::iter::successors(error.source(), |cause| (*cause).source());
    by_server || causes().any(tls) || causes().any(|cause| cause.to_string() == "server does not support TLS")
}

/// What an error has to say, with its causes: tokio-postgres hides them behind the first.
fn describe(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
