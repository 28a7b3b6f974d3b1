//! F34: an update with a migration, there and back, while there are requests of all kinds. The schema is expanded, the
//! processes are replaced one after the other, identity-service first; then back again, gateways first, with the newer
//! schema; then there once more, and the schema is contracted.
//!
//! In the long rounds the older version is the one before the newest migration, built from the history. In the short ones
//! both have the same programs, and the schema is what changes: it gets all that an expanding migration may add.
//!
//! A gateway gets no new connections for a moment before it is asked to stop, as `preStop` sees to it in a cluster: the older
//! version may know no SHUTDOWN_DELAY_SECONDS. The clients forgive that a connection was closed while it was idle; those of
//! F32 forgive nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portcullis_proto::v1::{CreateSessionRequest, CreateUserRequest, GetUserRequest};
use tokio::time::sleep;

use super::expand::{CONTRACTS, EXPANDS, later};
use super::{migrations, older};
use crate::harness::{
    Client, Fleet, Http, PASSWORD, Plan, Process, Rpc, Sample, offer, programs, request, rounds, urlencoded,
    with_token,
};

/// How many requests there are a second.
const RATE: usize = 50;
const A_SECOND: Duration = Duration::from_secs(1);
/// How soon a process must have ended.
const END: Duration = Duration::from_secs(20);
/// How long after it serves the others may take to notice.
const NOTICE: Duration = Duration::from_millis(800);

/// The folders of the programs of two versions.
struct Versions {
    old: PathBuf,
    new: PathBuf,
}

#[derive(Clone, Copy)]
enum Kind {
    Identity,
    Gateway,
}

/// Replaces a process by one of this version.
async fn replace(process: &mut Process, kind: Kind, version: &Path) {
    process.signal("TERM");
    let status = process.wait(END).await.expect("it ends when it is asked to");
    assert!(status.success(), "{status}");
    process.restart_from(version);
    match kind {
        Kind::Identity => process.until_serving().await,
        Kind::Gateway => process.until_ready().await,
    }
    sleep(NOTICE).await;
}

/// Replaces the gateways, each of which gets no new connections meanwhile.
async fn replace_gateways(fleet: &mut Fleet, halves: &Halves, version: &Path) {
    for gateway in &mut fleet.gateways {
        halves.go_without(gateway.port);
        sleep(NOTICE).await;
        replace(gateway, Kind::Gateway, version).await;
        halves.go_to_all();
    }
}

/// Replaces all processes, one after the other, identity-service first.
async fn update(fleet: &mut Fleet, halves: &Halves, version: &Path) {
    for number in 0..fleet.identities.len() {
        replace(&mut fleet.identities[number], Kind::Identity, version).await;
        if number == 0 {
            // One is of this version and the others are of the other.
            assert_each_sees_what_the_other_writes(fleet).await;
        }
    }
    replace_gateways(fleet, halves, version).await;
}

/// The same the other way round.
async fn take_back(fleet: &mut Fleet, halves: &Halves, version: &Path) {
    replace_gateways(fleet, halves, version).await;
    for identity in &mut fleet.identities {
        replace(identity, Kind::Identity, version).await;
    }
}

/// Registers at one, logs in at the other, and reads at the first; both ways.
async fn assert_each_sees_what_the_other_writes(fleet: &Fleet) {
    let mut both =
        [Rpc::connect(fleet.identities[0].port).await, Rpc::connect(fleet.identities[1].port).await];
    for writer in 0..2 {
        let email = format!("{}@camelot.bt", uuid::Uuid::new_v4());
        let create = CreateUserRequest {
            user_id: uuid::Uuid::now_v7().to_string(),
            email: email.clone(),
            password: PASSWORD.to_owned(),
            ..Default::default()
        };
        let created = both[writer].users.create_user(create).await.unwrap().into_inner();
        let log_in = CreateSessionRequest { email, password: PASSWORD.to_owned(), ..Default::default() };
        let session = both[1 - writer].sessions.create_session(log_in).await.unwrap().into_inner();
        let me = with_token(GetUserRequest { id: "me".to_owned() }, &session.access_token);
        let read = both[writer].users.get_user(me).await.unwrap().into_inner();
        assert_eq!(read.id, created.id);
    }
}

/// What there are requests for: of ten seven read, and one each writes, registers and logs in.
struct Mix {
    read: Arc<[u8]>,
    write: Arc<[u8]>,
    log_in: Arc<[u8]>,
}

impl Mix {
    async fn of(http: &Http) -> Self {
        let email = "king.arthur@camelot.bt";
        assert_eq!(http.register(email, PASSWORD).await.status, 201);
        let token = http.token(email, PASSWORD).await;
        let fields = [("username", email.as_bytes()), ("password", PASSWORD.as_bytes())];
        Self {
            read: request("GET", "/users/me", &token, ""),
            write: request("PATCH", "/users/me", &token, &format!(r#"{{"email":"{email}"}}"#)),
            log_in: request("POST", "/auth/jwt/login", "", &urlencoded(&fields)),
        }
    }

    fn request(&self, number: usize) -> Arc<[u8]> {
        let body = || format!(r#"{{"email":"knight{number}@camelot.bt","password":"{PASSWORD}"}}"#);
        match number % 10 {
            3 => Arc::clone(&self.write),
            6 => request("POST", "/auth/register", "", &body()),
            9 => Arc::clone(&self.log_in),
            _ => Arc::clone(&self.read),
        }
    }

    /// Goes on until it is over, half of it at each gateway: what became of each request.
    async fn keep_asking(self, halves: Halves, is_over: Arc<AtomicBool>) -> Vec<Sample> {
        let [one, other] = &halves.clients;
        let mut samples = Vec::new();
        for begun in (0..).step_by(RATE) {
            let half = |half: usize| {
                let mine = (begun..begun + RATE).filter(move |number| number / 10 % 2 == half);
                mine.map(|number| self.request(number)).collect::<Vec<_>>()
            };
            let (first, second) = (half(0), half(1));
            let (first, second) = tokio::join!(
                offer(one, &first, first.len() as f64, A_SECOND),
                offer(other, &second, second.len() as f64, A_SECOND),
            );
            samples.extend([first, second].concat());
            if is_over.load(Ordering::Relaxed) {
                break;
            }
        }
        samples
    }
}

/// The clients of the two gateways, each of which goes to the other one when its own is away.
#[derive(Clone)]
struct Halves {
    clients: [Client; 2],
    ports: [u16; 2],
}

impl Halves {
    fn of(fleet: &Fleet) -> Self {
        let ports = [0, 1].map(|number: usize| fleet.gateways[number].port);
        let halves = Self { clients: [Client::new(&ports), Client::new(&ports)], ports };
        halves.go_to_all();
        halves
    }

    fn go_to_all(&self) {
        let [one, other] = self.ports;
        self.clients[0].turn_to(&[one, other]);
        self.clients[1].turn_to(&[other, one]);
    }

    fn go_without(&self, port: u16) {
        let others: Vec<_> = self.ports.into_iter().filter(|other| *other != port).collect();
        self.clients.iter().for_each(|client| client.turn_to(&others));
    }
}

fn failed(samples: &[Sample]) -> Vec<&Sample> {
    samples.iter().filter(|sample| !sample.is(200) && !sample.is(201)).collect()
}

/// Plays the whole story.
async fn story(fleet: &mut Fleet, halves: &Halves, versions: &Versions, number: usize) {
    // The migrations of the newer version; the second time there are none.
    let migrate = fleet.identities[0].command_from(&versions.new, &["migrate"]);
    println!("{}", migrate.expect("migrates beside those that serve"));
    let expand = later(&format!("2999010100{number:04}"), EXPANDS);
    // Somebody has read users, and takes his time: no migration of theirs gets its lock meanwhile.
    let reader = fleet.database.connect().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM users").await.unwrap();
    let end_of_reading = async {
        sleep(Duration::from_secs(rounds(2, 10))).await;
        reader.batch_execute("COMMIT").await.unwrap();
    };
    let (again, ()) = tokio::join!(migrations::apply_beside_others(&fleet.database, &expand), end_of_reading);
    assert!(again > 0, "the migration has not met who reads");
    update(fleet, halves, &versions.new).await;
    take_back(fleet, halves, &versions.old).await;
    update(fleet, halves, &versions.new).await;
    let contract = later(&format!("2999010200{number:04}"), CONTRACTS);
    migrations::apply_beside_others(&fleet.database, &contract).await;
    sleep(NOTICE).await;
    // In the long rounds the next story begins with the older version.
    if rounds(false, true) {
        take_back(fleet, halves, &versions.old).await;
    }
}

/// Processes of this version.
async fn fleet(version: &Path) -> Fleet {
    let variables = [("SHUTDOWN_DELAY_SECONDS", rounds("0", "1"))];
    let (identity, gateway, programs) = (&variables[..], &variables[..], Some(version));
    Fleet::start(Plan { identities: 2, gateways: 2, identity, gateway, programs, ..Plan::default() }).await
}

/// Updates under load until there were enough requests: what became of each.
async fn play(versions: &Versions) -> Vec<Sample> {
    let mut fleet = fleet(&versions.old).await;
    let halves = Halves::of(&fleet);
    let (mix, is_over) = (Mix::of(&fleet.clients()[0]).await, Arc::new(AtomicBool::new(false)));
    let load = tokio::spawn(mix.keep_asking(halves.clone(), Arc::clone(&is_over)));
    let (started, enough) = (Instant::now(), rounds(Duration::ZERO, Duration::from_secs(220)));
    for number in 0.. {
        story(&mut fleet, &halves, versions, number).await;
        if started.elapsed() > enough {
            break;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let samples = load.await.unwrap();
    fleet.invariants(&[]).await;
    let registered = fleet.database.number("SELECT count(*) FROM users WHERE email LIKE 'knight%'").await;
    let acked = samples.iter().filter(|sample| sample.is(201)).count();
    assert_eq!(usize::try_from(registered).unwrap(), acked, "users that are there, and were told so");
    samples
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_an_update_with_a_migration_there_and_back_fails_no_request() {
    let new = programs();
    let old = if rounds(true, false) { new.clone() } else { older::before_the_newest_migration().await };
    let samples = play(&Versions { old, new }).await;
    let (count, failed) = (samples.len(), failed(&samples));
    assert!(failed.is_empty(), "{} of {count}: {:#?}", failed.len(), &failed[..failed.len().min(10)]);
    assert!(count >= rounds(500, 10_000), "only {count} requests");
    println!("{count} requests, and none failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_control_a_migration_that_takes_away_too_early_is_found_out() {
    let fleet = fleet(&programs()).await;
    let halves = Halves::of(&fleet);
    let (mix, is_over) = (Mix::of(&fleet.clients()[0]).await, Arc::new(AtomicBool::new(false)));
    let load = tokio::spawn(mix.keep_asking(halves.clone(), Arc::clone(&is_over)));
    let early = later("29990102000000", "ALTER TABLE users DROP COLUMN is_verified");
    migrations::apply_beside_others(&fleet.database, &early).await;
    sleep(2 * A_SECOND).await;
    is_over.store(true, Ordering::Relaxed);
    let samples = load.await.unwrap();
    assert!(failed(&samples).len() > 20, "a column that they read has gone, and nobody has noticed");
}
