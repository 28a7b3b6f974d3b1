//! The check of access tokens against changed tokens, and against signed ones that say this or that.

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::DecodingKey;
use portcullis_proto::access_token::{AUDIENCE, Claims, Refusal, verify};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::harness::{any_bytes, fuzz, jws, lossy, nearly};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 60 * 60;
const ISSUER: &str = "https://id.example";
const ID: &str = "0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap());

fn check(token: &str) -> Result<Claims, Refusal> {
    let key_of = |kid: &str| (kid == "k").then(|| DecodingKey::from_ed_der(KEY.public_key().as_ref()));
    verify(UNIX_EPOCH + Duration::from_secs(NOW), token, ISSUER, key_of)
}

fn sign(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    jws(header, claims, |signed| KEY.sign(signed).as_ref().to_vec())
}

const HEADER: &str = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k"}"#;

fn good_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": [AUDIENCE], "sub": ID, "sid": ID, "epoch": 7, "iat": NOW - 1, "exp": NOW + 60, "jti": ID,
    })
}

#[test]
fn h30_no_change_of_a_token_is_believed() {
    const WORDS: &[&str] =
        &[".", "..", "=", "==", "A", "e30", "\n", " ", "+", "/", "eyJhbGciOiJub25lIn0", "\0"];
    let good = sign(HEADER, good_claims().to_string());
    assert!(check(&good).is_ok());
    let parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    let shuffled = prop::collection::vec(select(parts), 0..6).prop_map(|parts| parts.join("."));
    let changed = nearly(Just(good.clone()), WORDS);
    fuzz(lossy(prop_oneof![7 => changed, 2 => nearly(shuffled, WORDS), 1 => any_bytes(80)]), |token| {
        assert_eq!(check(&token).is_ok(), token == good, "{token}");
    });
}

/// The members of an object as JSON, and whether they are as the rule wants them.
type Part = (Vec<(String, String)>, bool);

/// A member with a value that the rule allows, or now and then one that it does not.
fn member(name: &'static str, good: Vec<Value>, bad: Vec<Value>) -> impl Strategy<Value = Part> {
    let with = move |is_good: bool| move |value: Value| (vec![(name.to_owned(), value.to_string())], is_good);
    prop_oneof![
        40 => select(good).prop_map(with(true)),
        1 => select(bad).prop_map(with(false)),
        1 => Just((Vec::new(), false)),
    ]
}

/// A time around now and around the limits, as seconds from now; whether the rule allows it is said by `is_good`.
fn time(name: &'static str, is_good: fn(i64) -> bool) -> impl Strategy<Value = Part> {
    let far = DAY as i64;
    let from_now = prop_oneof![6 => -8..8i64, 3 => 8..2000i64, 1 => far - 3..far + 3, 1 => -far..far * 3];
    let good = from_now.prop_map(move |from_now| {
        (vec![(name.to_owned(), NOW.saturating_add_signed(from_now).to_string())], is_good(from_now))
    });
    let bad = ["null", "1.5", "1800000030.0", "\"1800000030\"", "-1", "1e30", "[]", "true"];
    let bad = select(bad.to_vec()).prop_map(move |text| (vec![(name.to_owned(), text.to_owned())], false));
    prop_oneof![20 => good, 1 => bad]
}

/// Writes an object with its members in any order, now and then one of them twice.
fn object(parts: Vec<Part>, order: &[Index], twice: Option<Index>) -> (String, bool) {
    let mut is_good = parts.iter().all(|(_, is_good)| *is_good);
    let mut members: Vec<_> = parts.into_iter().flat_map(|(members, _)| members).collect();
    if let Some(twice) = twice
        && !members.is_empty()
    {
        members.push(members[twice.index(members.len())].clone());
        is_good = false;
    }
    for index in order {
        let last = members.len().saturating_sub(1);
        if last > 0 {
            members.swap(index.index(last), last);
        }
    }
    let members: Vec<_> = members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    (format!("{{{}}}", members.join(",")), is_good)
}

fn claims() -> impl Strategy<Value = (String, bool)> {
    let ids =
        || (vec![json!(ID), json!(ID.to_uppercase())], vec![json!("x"), json!(""), json!(7), Value::Null]);
    let id = |name| member(name, ids().0, ids().1);
    let bad_iss = vec![json!("https://id.example/"), json!([ISSUER]), json!(""), Value::Null];
    let bad_aud =
        vec![json!(AUDIENCE), json!([]), json!([AUDIENCE, "x"]), json!([AUDIENCE, AUDIENCE]), json!(["x"])];
    let bad_epoch = vec![json!(1.5), json!("7"), json!(u64::MAX), Value::Null];
    let nbf = prop_oneof![3 => Just((Vec::new(), true)), 1 => time("nbf", |from_now| from_now <= 5)];
    let foreign = prop_oneof![
        2 => Just((Vec::new(), true)),
        1 => "[a-z]{4,6}".prop_map(|name| (vec![(name, r#"{"a":[1,"b",null]}"#.to_owned())], true)),
    ];
    let members = (
        member("iss", vec![json!(ISSUER)], bad_iss),
        member("aud", vec![json!([AUDIENCE])], bad_aud),
        (id("sub"), id("sid"), id("jti")),
        member("epoch", vec![json!(0), json!(i64::MAX), json!(-1)], bad_epoch),
        time("iat", |from_now| from_now <= 5),
        time("exp", |from_now| from_now > -5),
        (nbf, foreign),
    );
    let order = prop::collection::vec(any::<Index>(), 0..4);
    let twice = prop::option::weighted(0.05, any::<Index>());
    (members, order, twice).prop_map(
        |((iss, aud, (sub, sid, jti), epoch, iat, exp, (nbf, foreign)), order, twice)| {
            let number = |(members, _): &Part| members.first()?.1.parse::<u64>().ok();
            let lasts =
                number(&exp).zip(number(&iat)).is_none_or(|(exp, iat)| exp.saturating_sub(iat) <= DAY);
            let (text, is_good) =
                object(vec![iss, aud, sub, sid, jti, epoch, iat, exp, nbf, foreign], &order, twice);
            (text, is_good && lasts)
        },
    )
}

fn header() -> impl Strategy<Value = (String, bool)> {
    let texts = |texts: &[&str]| texts.iter().map(|text| json!(text)).collect::<Vec<_>>();
    let others =
        [("crit", r#"["exp"]"#), ("jku", r#""https://x""#), ("b64", "true"), ("x", "1"), ("", "null")];
    let other =
        select(others.to_vec()).prop_map(|(name, value)| (vec![(name.to_owned(), value.to_owned())], false));
    let members = (
        member("alg", texts(&["EdDSA"]), texts(&["none", "HS256", "ES256", "Ed25519", "eddsa"])),
        member("typ", texts(&["at+jwt"]), texts(&["JWT", "at+JWT", "application/at+jwt", ""])),
        member("kid", texts(&["k"]), texts(&["K", "", "k ", "../k"])),
        prop_oneof![20 => Just((Vec::new(), true)), 1 => other],
    );
    let order = prop::collection::vec(any::<Index>(), 0..3);
    let twice = prop::option::weighted(0.05, any::<Index>());
    (members, order, twice)
        .prop_map(|((alg, typ, kid, other), order, twice)| object(vec![alg, typ, kid, other], &order, twice))
}

#[test]
fn h30_a_signed_token_is_believed_by_the_rule_alone() {
    fuzz((header(), claims()), |((header, header_is_good), (claims, claims_are_good))| {
        let believed = check(&sign(&header, &claims));
        assert_eq!(believed.is_ok(), header_is_good && claims_are_good, "{header} {claims} {believed:?}");
    });
}

#[test]
fn h30_signed_bytes_that_are_nearly_a_token_never_make_the_check_panic() {
    const WORDS: &[&str] =
        &["{", "}", "[", "\"", ":", ",", "null", "1e999", "\\u0000", "\u{feff}", "\"exp\":1,", "-"];
    let headers = nearly(Just(HEADER), WORDS);
    let claims = nearly(Just(good_claims().to_string()), WORDS);
    fuzz((headers, prop_oneof![9 => claims, 1 => any_bytes(60)]), |(header, claims)| {
        let Ok(believed) = check(&sign(&header, &claims)) else { return };
        // What is believed, every reader of JSON reads as we do.
        assert_eq!(
            serde_json::from_slice::<Value>(&header).unwrap(),
            serde_json::from_str::<Value>(HEADER).unwrap()
        );
        let read: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(serde_json::from_value::<Claims>(read).unwrap(), believed);
    });
}
