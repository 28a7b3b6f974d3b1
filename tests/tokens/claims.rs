//! Tokens that the issuer's key has signed and that say what the issuer never says: wrong times, another type, another
//! audience. Neither the gateway nor identity-service, asked directly, believes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Doors, claims};

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What both doors say of a token whose claims are right to the second: asked in the middle of one, since they know the
/// clock of the database to some milliseconds only, until it is still the same afterwards.
async fn believed_now(doors: &mut Doors, mut sign: impl FnMut(u64) -> String) -> bool {
    for _ in 0..100 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let middle = Duration::from_millis(1_300 - u64::from(since.subsec_millis()));
        tokio::time::sleep(middle).await;
        let now = seconds();
        let said = doors.say(&sign(now)).await;
        if seconds() == now {
            assert_eq!(said[0], said[1], "the gateway and identity-service disagree");
            return said[0];
        }
    }
    panic!("no second was long enough for two requests");
}

#[tokio::test]
async fn j08_a_token_ends_five_seconds_after_its_expiry() {
    let (_stack, mut doors, token, forge) = Doors::with_forge().await;
    for (from_now, believed) in [(-6, false), (-5, false), (-4, true), (1, true), (60, true)] {
        let said = believed_now(&mut doors, |now| {
            let exp = now.saturating_add_signed(from_now);
            forge.with_claims(&token, json!({"iat": now - 60, "exp": exp}))
        });
        assert_eq!(said.await, believed, "exp at now{from_now:+}");
    }
}

#[tokio::test]
async fn j08_an_expiry_that_is_not_a_whole_number_is_none() {
    let (_stack, mut doors, token, forge) = Doors::with_forge().await;
    let exp = seconds() + 60;
    let good = forge.with_claims(&token, json!({"exp": exp}));
    let text = claims(&good).to_string();
    let values = [
        format!("\"{exp}\""),
        format!("{exp}.0"),
        format!("{exp}.5"),
        format!("{exp}e0"),
        format!("-{exp}"),
        format!("[{exp}]"),
        format!("{{\"exp\":{exp}}}"),
        "-1".into(),
        "0".into(),
        "-0".into(),
        "1e30".into(),
        "1e999".into(),
        "18446744073709551615".into(),
        "18446744073709551616".into(),
        "9223372036854775808".into(),
        "null".into(),
        "true".into(),
        "\"\"".into(),
        "NaN".into(),
    ];
    for name in ["exp", "iat", "epoch"] {
        let number = claims(&good)[name].to_string();
        let with = |value: &str| {
            let text = text.replacen(&format!("\"{name}\":{number}"), &format!("\"{name}\":{value}"), 1);
            forge.sign_bytes(forge.header().to_string(), text)
        };
        // A number that says the same, so that what is refused below is the value and not the spelling.
        assert!(doors.believe(&with(&number)).await);
        let values = values.iter().filter(|value| name == "exp" || value.parse::<i64>().is_err());
        // As an epoch the largest numbers are not too large but no i64; as iat they are in the future.
        let tokens = values.map(|value| ((name, value.clone()), with(value))).collect::<Vec<_>>();
        doors.believe_only(&good, tokens).await;
    }
    let missing = ["exp", "iat", "iss", "aud", "sub", "sid", "epoch", "jti"];
    let missing = missing.map(|name| (name, forge.with_claims(&good, json!({name: null}))));
    doors.believe_only(&good, missing).await;
}

#[tokio::test]
async fn j09_a_token_from_the_future_or_for_too_long_is_refused() {
    let (_stack, mut doors, token, forge) = Doors::with_forge().await;
    for (name, from_now, believed) in [
        ("nbf", 4, true),
        ("nbf", 5, true),
        ("nbf", 6, false),
        ("nbf", 3600, false),
        ("iat", 4, true),
        ("iat", 5, true),
        ("iat", 6, false),
        ("iat", 3600, false),
    ] {
        let said = believed_now(&mut doors, |now| {
            forge.with_claims(&token, json!({"exp": now + 7200, name: now + from_now}))
        });
        assert_eq!(said.await, believed, "{name} at now+{from_now}");
    }
    let now = seconds();
    let day = 24 * 60 * 60;
    let lasting = |seconds: u64| forge.with_claims(&token, json!({"iat": now, "exp": now + seconds}));
    let malformed = [json!("0"), json!(0.5), json!(-1), json!(1e30), json!([0]), json!(true)];
    let malformed =
        malformed.map(|nbf| (format!("nbf {nbf}"), forge.with_claims(&token, json!({"nbf": nbf}))));
    let mut null = claims(&token);
    null["nbf"] = Value::Null;
    let others = [
        ("a day and a second".to_owned(), lasting(day + 1)),
        ("a year".to_owned(), lasting(365 * day)),
        ("for ever".to_owned(), forge.with_claims(&token, json!({"exp": u64::MAX}))),
        ("issued long ago".to_owned(), forge.with_claims(&token, json!({"iat": 0}))),
        ("nbf null".to_owned(), forge.sign(&forge.header(), &null)),
    ];
    doors.believe_only(&lasting(day), others.into_iter().chain(malformed)).await;
}

#[tokio::test]
async fn j10_a_token_of_another_type_is_no_access_token() {
    let (_stack, mut doors, token, forge) = Doors::with_forge().await;
    let names = [
        "JWT",
        "jwt",
        "at+JWT",
        "AT+JWT",
        "application/at+jwt",
        "at+jwt ",
        "at+jwt\0",
        "rt+jwt",
        "reset+jwt",
        "verify+jwt",
        "logout+jwt",
        "dpop+jwt",
        "JOSE",
        "",
    ];
    let values = names.map(Value::from).into_iter();
    let values = values.chain([Value::Null, json!(7), json!(["at+jwt"]), json!({"at+jwt": 1})]);
    let tokens = values.map(|typ| {
        let mut header = forge.header();
        header["typ"] = typ.clone();
        (typ, forge.sign(&header, &claims(&token)))
    });
    let without = forge.with_header(&token, json!({"typ": null}));
    doors.believe_only(&token, tokens.chain([(json!("missing"), without)]).collect::<Vec<_>>()).await;
    // Other purposes of FastAPI Users, by their audience.
    let others = ["fastapi-users:reset", "fastapi-users:verify", "fastapi-users:oauth-state"];
    let others = others.map(|aud| (aud, forge.with_claims(&token, json!({"aud": [aud]}))));
    doors.believe_only(&token, others).await;
}

#[tokio::test]
async fn j11_issuer_and_audience_match_exactly_and_alone() {
    let (_stack, mut doors, token, forge) = Doors::with_forge().await;
    let (iss, aud) = ("http://localhost:8000", "fastapi-users:auth");
    assert_eq!((&claims(&token)["iss"], &claims(&token)["aud"]), (&json!(iss), &json!([aud])));
    let issuers = [
        Value::Null,
        json!(""),
        json!("http://localhost:8000/"),
        json!("HTTP://localhost:8000"),
        json!("https://localhost:8000"),
        json!("http://localhost"),
        json!(" http://localhost:8000"),
        json!("https://evil.example"),
        json!([iss]),
        json!([iss, "https://evil.example"]),
        json!([]),
        json!({"iss": iss}),
        json!(7),
    ];
    let audiences = [
        Value::Null,
        json!(aud),
        json!(""),
        json!([]),
        json!([""]),
        json!(["other"]),
        json!([aud, "other"]),
        json!(["other", aud]),
        json!([aud, aud]),
        json!([aud, null]),
        json!([[aud]]),
        json!({"0": aud}),
        json!(["FASTAPI-USERS:AUTH"]),
        json!(["fastapi-users:auth "]),
        json!(["fastapi-users"]),
        json!(7),
        json!(true),
    ];
    let issuers = issuers.into_iter().map(|value| ("iss", value));
    let both = issuers.chain(audiences.into_iter().map(|value| ("aud", value)));
    let tokens = both.map(|(name, value)| {
        let mut claims = claims(&token);
        claims[name] = value.clone();
        ((name, value), forge.sign(&forge.header(), &claims))
    });
    let missing =
        ["iss", "aud"].map(|name| ((name, json!("missing")), forge.with_claims(&token, json!({name: null}))));
    doors.believe_only(&token, tokens.chain(missing).collect::<Vec<_>>()).await;
}
