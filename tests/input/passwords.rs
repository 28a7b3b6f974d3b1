//! Passwords: counted in code points, taken whole and exactly as they were sent, and kept so that a stolen database does
//! not tell them.

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::json;

use crate::harness::{CANARY, Database, Http, IDENTITY, PASSWORD, Stack, assert_is_refused, rounds};

/// How many requests that need a hash are under way at once: the queue must hold them.
const AT_ONCE: usize = 4;

/// The status of a login with exactly these bytes, the same in both encodings of the form.
async fn log_in(http: &Http, email: &str, password: impl AsRef<[u8]>) -> u16 {
    let form = [("username", email.as_bytes()), ("password", password.as_ref())];
    let [urlencoded, multipart] =
        http.log_in_with("/auth/jwt/login", &form).await.map(|answer| answer.status);
    assert_eq!(urlencoded, multipart, "{email}");
    urlencoded
}

async fn register(http: &Http, email: &str, password: &str) {
    let answer = http.register(email, password).await;
    assert_eq!(answer.status, 201, "{email} {answer:?}");
}

#[tokio::test]
async fn p01_length_is_counted_in_code_points_wherever_a_password_is_set() {
    let stack = Stack::start().await;
    let (http, entrances) = (stack.http(), stack.entrances().await);
    let kept = ["new@camelot.bt", "entrance-me@camelot.bt", "entrance-other@camelot.bt"];
    for (number, letter) in ["x", "ж", "🏰"].into_iter().enumerate() {
        for (entrance, email) in entrances.iter().zip(kept) {
            let is_new = entrance.method == "POST";
            let code = if is_new { "REGISTER_INVALID_PASSWORD" } else { "UPDATE_USER_INVALID_PASSWORD" };
            let before = stack.database.contents().await;
            let too_long = letter.repeat(1024 / letter.len() + 1);
            for (password, reason) in [
                (String::new(), "Password should be at least 8 characters"),
                (letter.repeat(7), "Password should be at least 8 characters"),
                (too_long, "Password should be at most 1024 bytes"),
            ] {
                let body = json!({"email": email, "password": password});
                let answer = entrance.send(&http, body.to_string()).await;
                assert_is_refused(&answer, 400, code);
                assert_eq!(answer.json()["detail"], json!({"code": code, "reason": reason}));
            }
            assert_eq!(stack.database.contents().await, before);
            for length in [8, 64, 256] {
                let email = if is_new { format!("{number}-{length}@camelot.bt") } else { email.to_owned() };
                let password = letter.repeat(length);
                let body = if is_new {
                    json!({"email": email, "password": password})
                } else {
                    json!({"password": password})
                };
                let answer = entrance.send(&http, body.to_string()).await;
                assert_eq!(answer.status, if is_new { 201 } else { 200 }, "{length} {letter} {answer:?}");
                assert_eq!(http.log_in(&email, &password).await.status, 200, "{length} {letter}");
            }
        }
    }
}

#[tokio::test]
async fn p01_the_least_length_is_that_of_the_configuration() {
    let stack = Stack::with(&[("PASSWORD_MIN_LENGTH", "15")], &[]).await;
    for (number, letter) in ["x", "ж", "🏰"].into_iter().enumerate() {
        let answer = stack.http().register("short@camelot.bt", &letter.repeat(14)).await;
        assert_eq!(
            (answer.status, &answer.json()["detail"]["reason"]),
            (400, &json!("Password should be at least 15 characters"))
        );
        register(&stack.http(), &format!("{number}@camelot.bt"), &letter.repeat(15)).await;
    }
}

#[tokio::test]
async fn p02_no_mixture_of_kinds_of_characters_is_asked_for() {
    let stack = Stack::start().await;
    let http = stack.http();
    let classes = [
        "abcdefghijklmnopqrstuvwxyz",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "0123456789",
        "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
        "абвгдежзийклмнопрстуфхцчшщъыьэюя",
        "王亚瑟与圆桌骑士",
        "🏰👑🗡🐉",
        " \t\u{a0}\u{2003}",
        "0",
        "aA",
        "\u{301}\u{307}",
        "٠١٢٣",
    ];
    let tries = stream::iter(0..rounds(classes.len(), 200)).map(|number| {
        let class: Vec<char> = classes[number % classes.len()].chars().collect();
        let random = uuid::Uuid::new_v4().into_bytes();
        let password: String =
            random[..15].iter().map(|&byte| class[usize::from(byte) % class.len()]).collect();
        let http = &http;
        async move {
            let email = format!("{number}@camelot.bt");
            register(http, &email, &password).await;
            assert_eq!(http.log_in(&email, &password).await.status, 200, "{password:?}");
        }
    });
    tries.buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test]
async fn p04_passwords_that_differ_in_their_last_byte_only_are_different() {
    let stack = Stack::start().await;
    let http = &stack.http();
    let tries = stream::iter([71, 72, 73, 74, 128, 255, 256, 1024]).map(|length: usize| async move {
        let (email, start) = (format!("{length}@camelot.bt"), "x".repeat(length - 1));
        register(http, &email, &format!("{start}y")).await;
        for (end, status) in [("y", 200), ("z", 400), ("", 400), ("Y", 400), ("yy", 400)] {
            assert_eq!(http.log_in(&email, &format!("{start}{end}")).await.status, status, "{length} {end}");
        }
    });
    tries.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Passwords that a careless system takes for one another.
const ALIKE: [&[&str]; 5] = [
    &[
        "excalibur",
        "excalibur\0",
        "excalibur\0excalibur",
        "excalibur\0excalibur\0excalibur",
        "\0excalibur",
        "excalibur\0x",
    ],
    &["Guinevere", "guinevere", "GUINEVERE", "guıneverE"],
    &[
        "camelot castle",
        " camelot castle",
        "camelot castle ",
        "camelot  castle",
        "camelot castle\n",
        "camelot\u{a0}castle",
    ],
    &["élan vital", "e\u{301}lan vital", "elan vital", "ﬁne élan vital", "fine élan vital"],
    &[
        "\0\0\0\0\0\0\0\0",
        "\0\0\0\0\0\0\0\0\0",
        "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
    ],
];

#[tokio::test]
async fn p05_a_password_is_taken_exactly_as_it_was_sent() {
    let stack = Stack::start().await;
    let http = &stack.http();
    let all: Vec<(usize, &str)> = ALIKE
        .iter()
        .enumerate()
        .flat_map(|(family, passwords)| passwords.iter().map(move |p| (family, *p)))
        .collect();
    let all = &all;
    let tries = stream::iter(all.iter().enumerate()).map(|(number, &(family, password))| async move {
        let email = &format!("{number}@camelot.bt");
        register(http, email, password).await;
        assert_eq!(log_in(http, email, password).await, 200, "{password:?}");
        for &(other_family, other) in all {
            // All with all in the long tier; else only those that are alike.
            if other != password && (family == other_family || rounds(false, true)) {
                assert_eq!(log_in(http, email, other).await, 400, "{other:?} for {password:?}");
            }
        }
        for no_text in [&[0xff; 8][..], b"\xed\xa0\x80 excalibur", b"excalibur\xc0\x80"] {
            assert_eq!(log_in(http, email, no_text).await, 400, "{no_text:?} for {password:?}");
        }
    });
    tries.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// What a system that forgets the pepper, or has none, could hash in place of a password.
fn forms(password: &str) -> Vec<Vec<u8>> {
    let bytes = password.as_bytes();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes();
    let without_pepper = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA384, b""), bytes);
    let mut raw = vec![bytes.to_vec(), without_pepper.as_ref().to_vec()];
    raw.extend([&SHA256, &SHA384, &SHA512].map(|algorithm| digest(algorithm, bytes).as_ref().to_vec()));
    raw.iter().flat_map(|raw| [raw.clone(), STANDARD.encode(raw).into_bytes(), hex(raw)]).collect()
}

/// Every bcrypt hash that the database holds. A salt may begin with a 2, so that `$2` alone would find more.
async fn hashes(database: &Database) -> Vec<String> {
    let dump = database.contents().await.join("\n");
    dump.match_indices("$2b$").map(|(at, _)| dump[at..].chars().take(60).collect()).collect()
}

#[tokio::test]
async fn p08_a_dump_of_the_database_tells_no_password_and_cannot_be_used_to_guess_one() {
    let stack = Stack::start().await;
    let (http, entrances) = (stack.http(), stack.entrances().await);
    // Passwords that were set in each way there is, and those of attempts that failed.
    for entrance in &entrances {
        let body = json!({"email": format!("{}@camelot.bt", entrance.method), "password": CANARY});
        let answer = entrance.send(&http, body.to_string()).await;
        assert!([200, 201, 400].contains(&answer.status), "{answer:?}");
    }
    assert_eq!(http.log_in("post@camelot.bt", CANARY).await.status, 200);
    assert_eq!(http.log_in("post@camelot.bt", "a password of nobody").await.status, 400);
    let dump = stack.database.contents().await.join("\n");
    for secret in [PASSWORD, CANARY, "a password of nobody"] {
        for form in forms(secret) {
            // Text stands in a dump as it is, bytes in hex.
            let hex: String = form.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = String::from_utf8(form).unwrap_or_else(|_| hex.clone());
            assert!(!dump.contains(&text) && !dump.contains(&hex), "the dump holds {secret} as {text}");
        }
    }
    let hashes = hashes(&stack.database).await;
    assert_eq!(hashes.len() as i64, stack.database.number("SELECT count(*) FROM users").await);
    let pepper = IDENTITY.iter().find(|(name, _)| *name == "PASSWORD_PEPPER").expect("is set").1;
    let pepper = hmac::Key::new(hmac::HMAC_SHA384, &STANDARD.decode(pepper).unwrap());
    for hash in hashes {
        let with_pepper = |password: &str| STANDARD.encode(hmac::sign(&pepper, password.as_bytes()));
        let whose = [PASSWORD, CANARY]
            .into_iter()
            .find(|password| bcrypt::verify(with_pepper(password), &hash).unwrap());
        let candidates = whose.map_or(vec![PASSWORD, CANARY], |password| vec![password]);
        for form in candidates.into_iter().flat_map(forms) {
            assert!(!bcrypt::verify(form, &hash).unwrap(), "the database alone is enough to guess {hash}");
        }
        assert!(whose.is_some(), "{hash} is of no password of this test, or not of its pepper");
    }
}
