//! What an e-mail address is and when two are the same, from outside: each text is refused, or becomes an address by the
//! one rule of `contract.md`, whatever the database thinks of letters.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Database, PASSWORD, Stack, Vigil, assert_is_refused, items, mail_entrances, rounds};

/// Spellings of one address, the first of which registers. All of another line are of another one.
const ADDRESSES: &[&[&str]] = &[
    &["i@camelot.bt", "I@CAMELOT.BT", "<I@Camelot.Bt>"],
    &["İ@camelot.bt", "I\u{307}@camelot.bt", "i\u{307}@camelot.bt"],
    &["ı@camelot.bt"],
    &["Ì@camelot.bt", "ì@camelot.bt", "I\u{300}@camelot.bt"],
    &["s@camelot.bt", "S@camelot.bt"],
    &["ſ@camelot.bt"],
    &["\u{212a}ing@camelot.bt", "KING@camelot.bt", "king@camelot.bt"],
    &["ｋing@camelot.bt", "Ｋing@camelot.bt"],
    &["ß@camelot.bt", "ẞ@camelot.bt"],
    &["SS@camelot.bt", "ss@camelot.bt"],
    &["ΟΔΟΣ@camelot.bt", "οδος@camelot.bt"],
    &["οδοσ@camelot.bt"],
    &["Élan@camelot.bt", "e\u{301}LAN@camelot.bt", "élan@camelot.bt"],
    &["elan@camelot.bt"],
    &["\u{2126}@camelot.bt", "ω@camelot.bt"],
    &["ǅ@camelot.bt", "ǆ@camelot.bt", "Ǆ@camelot.bt"],
    &["ﬁ@camelot.bt"],
    &["FI@camelot.bt", "fi@camelot.bt"],
    &["Ა@camelot.bt", "ა@camelot.bt"],
    &["Arthur@camelot.bt", "  arthur@CAMELOT.bt\t", "King Arthur <ARTHUR@camelot.bt>"],
    &["Аrthur@camelot.bt", "аrthur@camelot.bt"], // the first letter is Cyrillic
    &["arthur\u{fe0f}@camelot.bt"],
    &["x@BÜCHER.com", "x@XN--Bcher-KVA.com", "x@bu\u{308}cher.com", "x@ｂücher。com", "X@bücher．COM"],
    &["x@straße.com", "x@xn--strae-oqa.com", "x@STRAẞE.com"],
    &["x@strasse.com", "x@STRASSE.com"],
    &["x@İstanbul.com", "x@i\u{307}stanbul.com"],
    &["x@ISTANBUL.com", "x@istanbul.com"],
    &["x@ıstanbul.com"],
    &["x@аpple.com", "x@АPPLE.com"], // as above
    &["x@apple.com"],
    &["x@βόλος.com", "x@xn--nxasmm1c.com"],
    &["x@ΒΌΛΟΣ.com", "x@βόλοσ.com"],
];

/// What looks like an address and is none.
const REFUSED: &[&str] = &[
    "king＠camelot.bt",
    "king@camelot",
    "ki\u{200b}ng@camelot.bt",
    "ki\u{200c}ng@camelot.bt",
    "ki\u{200d}ng@camelot.bt",
    "ki\u{2060}ng@camelot.bt",
    "\u{feff}king@camelot.bt",
    "ki\u{ad}ng@camelot.bt",
    "\u{200e}king@camelot.bt",
    "king\u{200f}@camelot.bt",
    "king\u{202e}@camelot.bt",
    "\u{2066}king\u{2069}@camelot.bt",
    "king\u{e0061}@camelot.bt",
    "ki\u{a0}ng@camelot.bt",
    "ki\u{37e}ng@camelot.bt",
    "\u{301}king@camelot.bt",
    "king\u{e000}@camelot.bt",
    "king\u{378}@camelot.bt",
    "king@came\u{200d}lot.bt",
    "king@\u{202e}camelot.bt",
    "king@camelot⒈bt",
    "king@xn--example-.org",
    "king@xn--.com",
    "king@xn--a.com",
    "king@xn---bbk.com",
    "king@xn--i-7iq.com",
    "king@i❤.com",
    "king@مثال-example.com",
];

/// What the letters of this test are in lower case, were the database asked.
const LOWER: &str = "SELECT lower('IİK\u{212a}Ì')";

#[tokio::test]
async fn h04_each_text_is_refused_or_is_one_address_whatever_the_locale_of_the_database() {
    let icu = |locale: &str| format!("LOCALE_PROVIDER icu ICU_LOCALE '{locale}' LOCALE 'C.UTF-8'");
    let mut locales = vec!["LOCALE 'C'".to_owned(), "LOCALE 'C.UTF-8'".to_owned(), icu("tr-TR")];
    locales.extend(rounds(&[][..], &["en-US", "und", "lt"]).iter().map(|locale| icu(locale)));
    let server = std::env::var("TEST_DATABASE_URL").expect("tests/run sets it");
    let outcomes = join_all(locales.iter().map(async |locale| {
        let options = format!("TEMPLATE template0 ENCODING 'UTF8' {locale}");
        let stack = Stack::over(Database::create_in(&server, &options).await, &[], &[]).await;
        let lower: String = stack.database.rows(LOWER, &[]).await[0].get(0);
        // Kept to the end: to drop a database holds up this thread, and with it those who are just connecting.
        (lower, outcome(&stack).await, stack)
    }));
    let outcomes = outcomes.await;
    let lowers: HashSet<_> = outcomes[..3].iter().map(|(lower, ..)| lower).collect();
    assert_eq!(lowers.len(), 3, "the databases do not differ, so this shows nothing: {lowers:?}");
    for (locale, (_, outcome, _)) in locales.iter().zip(&outcomes) {
        assert_eq!(outcome, &outcomes[0].1, "{locale}");
    }
}

/// Registers, repeats, logs in and moves with every spelling. What the database has then of each address.
async fn outcome(stack: &Stack) -> Vec<String> {
    let http = stack.http();
    let (_, mover) = stack.user("mover@camelot.bt").await;
    for spellings in ADDRESSES {
        let first = http.register(spellings[0], PASSWORD).await;
        assert_eq!(first.status, 201, "{spellings:?} {first:?}");
        let id = first.text("id");
        for spelling in *spellings {
            let again = http.register(spelling, PASSWORD).await;
            assert_eq!(again.short(), r#"400 {"detail":"REGISTER_USER_ALREADY_EXISTS"}"#, "{spelling}");
            // No hash is computed here, so it is the unique index that decides.
            let moved = http.json("PATCH", "/users/me", &mover, json!({"email": spelling})).await;
            assert_eq!(moved.short(), r#"400 {"detail":"UPDATE_USER_EMAIL_ALREADY_EXISTS"}"#, "{spelling}");
        }
        let last = spellings[spellings.len() - 1];
        let me = http.bare("GET", "/users/me", &http.token(last, PASSWORD).await).await;
        assert_eq!((me.text("id"), me.text("email")), (id, first.text("email")), "{last}");
    }
    for text in REFUSED {
        let registered = http.register(text, PASSWORD).await;
        assert_is_refused(&registered, 422, text);
        assert_eq!(items(&registered), ["email value_error"], "{text}");
        assert_is_refused(&http.log_in(text, PASSWORD).await, 400, text);
        for entrance in mail_entrances() {
            let answer = entrance.send(&http, json!({"email": text}).to_string()).await;
            assert_is_refused(&answer, 422, text);
            assert_eq!(items(&answer), ["email value_error"], "{text}");
        }
    }
    mails_reach_each(stack).await;
    let users =
        stack.database.rows("SELECT email, email_canonical FROM users ORDER BY created_at", &[]).await;
    assert_eq!(users.len(), ADDRESSES.len() + 1);
    users.iter().map(|row| format!("{} {}", row.get::<_, String>(0), row.get::<_, String>(1))).collect()
}

/// Asks for a mail with the last spelling of each address: it goes to the first, whose user has it.
async fn mails_reach_each(stack: &Stack) {
    let (http, [forgot, _]) = (stack.http(), mail_entrances());
    for spellings in ADDRESSES {
        let last = spellings[spellings.len() - 1];
        let answer = forgot.send(&http, json!({"email": last}).to_string()).await;
        assert_eq!(answer.short(), "202 null", "{last}");
    }
    let sql = "SELECT count(*) FROM recovery_tokens";
    for _ in 0..200 {
        if stack.database.number(sql).await == ADDRESSES.len() as i64 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{} users of {} were found", stack.database.number(sql).await, ADDRESSES.len());
}

#[tokio::test]
async fn h06_an_address_that_is_too_long_or_malformed_is_refused() {
    let stack = Stack::start().await;
    let (http, entrances) = (stack.http(), stack.entrances().await);
    let vigil = Vigil::begin(&stack).await;
    let before = stack.database.contents().await;
    let local = |bytes: usize| format!("{}@camelot.bt", "a".repeat(bytes));
    let whole = |bytes: usize| {
        let [a, b, c] = ["a", "b", "c"].map(|label| label.repeat(59));
        format!("{}@{a}.{b}.{c}.{}", "p".repeat(64), "d".repeat(bytes - 245))
    };
    let mut texts = vec![
        local(65),
        format!("{}@camelot.bt", "é".repeat(33)),
        whole(255),
        local(10_000),
        format!("a@{}.bt", "camelot.".repeat(1200)),
        format!("{}@camelot.bt", ".".repeat(10_000)),
        ".".repeat(10_000),
        format!("a{}b@camelot.bt", ".".repeat(10_000)),
        format!("a@{}.bt", ".".repeat(10_000)),
        format!("a@{}bt", "b.".repeat(1020)),
        format!("a@{}.com", "ü".repeat(120)),
        format!("{}@camelot.bt", "\u{301}".repeat(120)),
        format!("{}<", "a ".repeat(1020)),
        format!("{}>", "\"<".repeat(1020)),
        format!("a@xn--{}.com", "9".repeat(240)),
        "@".repeat(10_000),
        "<".repeat(10_000),
        " ".repeat(10_000),
    ];
    let malformed = [
        "",
        "@",
        "a@",
        "@camelot.bt",
        "a.@camelot.bt",
        ".a@camelot.bt",
        "a..b@camelot.bt",
        "a@.camelot.bt",
        "a@camelot.bt.",
        "a@camelot..bt",
        "a@-camelot.bt",
        "a@camelot-.bt",
        "a@ca--melot.bt",
        "a@cam_elot.bt",
        "a@camelot.bt\r\nBcc: mordred@camelot.bt",
        "a\r\n@camelot.bt",
        "a@camelot.bt\n",
        "\ra@camelot.bt",
        "King\r\n <a@camelot.bt>",
        "\"king arthur\"@camelot.bt",
        "\"a\"@camelot.bt",
        "\"a@b\"@camelot.bt",
        "a(king)@camelot.bt",
        "(king)a@camelot.bt",
        "a@camelot.bt(king)",
        "a@(king)camelot.bt",
        "a@[127.0.0.1]",
        "a@[IPv6:::1]",
        "a@127.0.0.1",
        "a@[camelot.bt]",
        "a@camelot.123",
        "a@localhost",
        "a@camelot.local",
        "a@camelot.test",
        "a@camelot.invalid",
        "a@camelot.onion",
        "a@1.168.192.in-addr.arpa",
        "a@b@camelot.bt",
        "a b@camelot.bt",
        "a,b@camelot.bt",
        "a\\@b@camelot.bt",
        "mailto:a@camelot.bt",
        "a@camelot.bt:25",
        "a@camelot.bt/",
        "a@camelot.bt?x",
        "<a@camelot.bt",
        "a@camelot.bt>",
        "<<a@camelot.bt>>",
        "a\u{7f}@camelot.bt",
    ];
    texts.extend(malformed.map(str::to_owned));
    for _ in 0..rounds(1, 20) {
        for text in &texts {
            let shown = text.chars().take(60).collect::<String>();
            for entrance in entrances.iter().chain(&mail_entrances()) {
                let answer =
                    entrance.send(&http, json!({"email": text, "password": PASSWORD}).to_string()).await;
                assert_is_refused(&answer, 422, &shown);
                assert_eq!(items(&answer), ["email value_error"], "{shown}");
            }
            if !text.is_empty() {
                assert_is_refused(&http.log_in(text, PASSWORD).await, 400, &shown);
            }
        }
    }
    for entrance in entrances.iter().chain(&mail_entrances()) {
        let answer = entrance.send(&http, json!({"email": local(1 << 20)}).to_string()).await;
        assert_is_refused(&answer, 413, "1 MB");
    }
    assert_is_refused(&http.log_in(&local(1 << 20), PASSWORD).await, 413, "1 MB");
    assert_eq!(stack.database.contents().await, before);
    vigil.assert_unharmed();
    for longest in [local(64), format!("{}@camelot.bt", "é".repeat(32)), whole(254)] {
        let answer = http.register(&longest, PASSWORD).await;
        assert_eq!((answer.status, answer.text("email")), (201, longest.clone()));
        assert_eq!(http.log_in(&longest, PASSWORD).await.status, 200);
        for entrance in mail_entrances() {
            let answer = entrance.send(&http, json!({"email": longest}).to_string()).await;
            assert_eq!(answer.short(), "202 null", "{longest}");
        }
    }
}
