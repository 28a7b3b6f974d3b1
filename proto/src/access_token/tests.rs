//! The rules of a token, one by one, without a signature.

use super::*;
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;

fn claims(iat: u64, exp: u64) -> Claims {
    Claims {
        iss: "https://id.example".into(),
        aud: vec![AUDIENCE.into()],
        sub: Uuid::nil(),
        sid: Uuid::nil(),
        epoch: 1,
        iat,
        exp,
        jti: Uuid::nil(),
    }
}

fn check(claims: Claims, nbf: Option<u64>) -> Result<(), Refusal> {
    super::check(UNIX_EPOCH + Duration::from_secs(NOW), &Payload { claims, nbf, _others: () })
}

#[test]
fn j08_a_token_is_good_until_five_seconds_after_its_expiry() {
    assert_eq!(check(claims(NOW - 60, NOW + 1), None), Ok(()));
    assert_eq!(check(claims(NOW - 60, NOW - 4), None), Ok(()));
    assert_eq!(check(claims(NOW - 60, NOW - 5), None), Err(Refusal::Expired));
}

#[test]
fn j09_a_token_from_the_future_is_refused_beyond_the_leeway() {
    assert_eq!(check(claims(NOW + 5, NOW + 60), Some(NOW + 5)), Ok(()));
    assert_eq!(check(claims(NOW + 6, NOW + 60), None), Err(Refusal::IssuedInFuture));
    assert_eq!(check(claims(NOW, NOW + 60), Some(NOW + 6)), Err(Refusal::NotYet));
}

#[test]
fn j09_a_token_that_lives_longer_than_a_day_is_refused() {
    assert_eq!(check(claims(NOW, NOW + 86_400), None), Ok(()));
    assert_eq!(check(claims(NOW, NOW + 86_401), None), Err(Refusal::Lifetime));
}

#[test]
fn j11_the_audience_must_be_exactly_one_and_ours() {
    for audience in [vec![], vec!["other".into()], vec![AUDIENCE.into(), "other".into()]] {
        let token = Claims { aud: audience, ..claims(NOW, NOW + 60) };
        assert_eq!(check(token, None), Err(Refusal::Audience));
    }
}

#[test]
fn j12_claims_are_read_if_none_stands_there_twice_and_foreign_ones_are_ignored() {
    let ours = serde_json::to_string(&claims(NOW, NOW + 60)).unwrap();
    let read = |more: &str| serde_json::from_str::<Payload>(&ours.replacen('{', &format!("{{{more},"), 1));
    let foreign = read(r#""a":1,"b":{"a":2}"#).unwrap();
    assert_eq!((foreign.claims, foreign.nbf), (claims(NOW, NOW + 60), None));
    assert_eq!(read(r#""nbf":7"#).unwrap().nbf, Some(7));
    for twice in [r#""exp":1"#, r#""a":1,"a":1"#, r#""nbf":1,"nbf":1"#, r#""nbf":null"#, r#""nbf":"1""#] {
        assert!(read(twice).is_err(), "{twice}");
    }
}

fn refusal(token: &str) -> Refusal {
    verify(SystemTime::now(), token, "https://id.example", |_| None).unwrap_err()
}

#[test]
fn j06_a_header_with_any_other_name_in_it_is_refused_before_a_key_is_looked_for() {
    for header in [
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","crit":["exp"]}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","jku":"https://evil.example"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","b64":false}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","kid":"k"}"#,
        r#"{"alg":"none","typ":"at+jwt","kid":"k"}"#,
        r#"{"alg":"HS256","typ":"at+jwt","kid":"k"}"#,
        r#"{"alg":"EdDSA","typ":"JWT","kid":"k"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
    ] {
        let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
        assert_eq!(refusal(&token), Refusal::Header, "{header}");
    }
    let good = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k"}"#;
    let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(good));
    assert_eq!(refusal(&token), Refusal::UnknownKey);
}

proptest! {
    #[test]
    fn no_text_is_a_token_without_a_key(text in "[ -~]{0,200}") {
        let _: Refusal = refusal(&text);
    }
}
