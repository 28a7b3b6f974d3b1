//! Tokens that the issuer did not sign, or whose header says something else than ours: nobody believes them, neither
//! the gateway nor identity-service, asked directly.

use std::net::TcpListener;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::harness::{Doors, Vigil, claims, jws, rounds};

/// The first bytes of an Ed25519 public key in DER (RFC 8410 section 4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The order of the group (RFC 8032 section 5.1), the lowest byte first.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The three parts of a token.
fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().expect("a token has three parts")
}

fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("is base64url")
}

/// The token with another signature.
fn signed(token: &str, signature: &[u8]) -> String {
    let [header, payload, _] = parts(token);
    format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A hundred of all numbers below `end`, or in the long tier all of them.
fn some_below(end: usize) -> Vec<usize> {
    let random = || (uuid::Uuid::new_v4().as_u128() % end as u128) as usize;
    rounds(std::iter::repeat_with(random).take(100).collect(), (0..end).collect())
}

#[tokio::test]
async fn j01_a_token_with_a_flipped_bit_or_without_its_end_is_refused() {
    let (_stack, mut doors, token, _) = Doors::with_forge().await;
    let parts = parts(&token);
    let bytes: Vec<u8> = parts.iter().flat_map(|part| decode(part)).collect();
    let flipped = some_below(bytes.len() * 8).into_iter().map(|bit| {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (header, rest) = bytes.split_at(decode(parts[0]).len());
        let (payload, signature) = rest.split_at(decode(parts[1]).len());
        (format!("bit {bit}"), jws(header, payload, |_| signature.to_vec()))
    });
    doors.believe_only(&token, flipped).await;

    // In the characters, the last of the signature among them, four of whose bits mean nothing.
    let last = (token.len() - 1) * 7;
    let mistyped = some_below(last).into_iter().chain(last..last + 7).filter_map(|bit| {
        let mut bytes = token.clone().into_bytes();
        bytes[bit / 7] ^= 1 << (bit % 7);
        let is_sendable = bytes[bit / 7].is_ascii_graphic();
        is_sendable
            .then(|| (format!("bit {} of character {}", bit % 7, bit / 7), String::from_utf8(bytes).unwrap()))
    });
    doors.believe_only(&token, mistyped).await;

    let prefixes = (0..token.len()).map(|length| (length, token[..length].to_owned()));
    doors.believe_only(&token, prefixes).await;
}

#[tokio::test]
async fn j02_no_algorithm_but_ours_is_believed() {
    let (_stack, mut doors, token, forge) = Doors::with_forge().await;
    let names = [
        "none", "None", "NONE", "nOnE", "nonE", "none ", "\tnone", "", "HS256", "HS384", "HS512", "RS256",
        "RS512", "PS256", "PS512", "ES256", "ES384", "ES256K", "Ed25519", "Ed448", "eddsa", "EDDSA",
        "EdDSA ", "EdDSA\0",
    ];
    let values = names.map(Value::from).into_iter();
    let values = values.chain([Value::Null, json!(7), json!(["EdDSA"]), json!({"EdDSA": null})]);
    let tokens = values.flat_map(|name| {
        let mut header = forge.header();
        header["alg"] = name.clone();
        let signed = forge.sign(&header, &claims(&token));
        let (unsigned, _) = signed.rsplit_once('.').unwrap();
        let bare = [format!("{unsigned}."), unsigned.to_owned()];
        bare.into_iter().chain([signed]).map(move |token| (name.clone(), token))
    });
    doors.believe_only(&token, tokens.collect::<Vec<_>>()).await;
    let without = forge.with_header(&token, json!({"alg": null}));
    doors.believe_only(&forge.sign(&forge.header(), &claims(&token)), [("without alg", without)]).await;
}

#[tokio::test]
async fn j03_the_public_key_is_no_shared_secret() {
    let (stack, mut doors, token, forge) = Doors::with_forge().await;
    let raw = forge.public_key();
    let der = [SPKI.as_slice(), &raw].concat();
    let pem =
        |end| format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----{end}", STANDARD.encode(&der));
    let published = stack.http().bare("GET", "/.well-known/jwks.json", "").await;
    let jwk = published.json()["keys"][0].to_string();
    assert!(jwk.contains(&URL_SAFE_NO_PAD.encode(raw)), "{jwk}");
    let secrets = [
        ("PEM", pem("\n").into_bytes()),
        ("PEM without its last line break", pem("").into_bytes()),
        ("DER", der),
        ("JWK", jwk.into_bytes()),
        ("JWK set", published.body.into_bytes()),
        ("the bytes", raw.to_vec()),
        ("base64url", URL_SAFE_NO_PAD.encode(raw).into_bytes()),
        ("nothing", Vec::new()),
    ];
    let tokens = secrets.iter().flat_map(|(name, secret)| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        ["HS256", "EdDSA"].map(|alg| {
            let mut header = forge.header();
            header["alg"] = alg.into();
            let mac = |signed: &[u8]| hmac::sign(&key, signed).as_ref().to_vec();
            ((*name, alg), jws(header.to_string(), claims(&token).to_string(), mac))
        })
    });
    doors.believe_only(&token, tokens.collect::<Vec<_>>()).await;
}

/// `s + multiple * L`, the lowest byte first, if 32 bytes can hold it.
fn plus_order(s: &[u8], multiple: u32) -> Option<Vec<u8>> {
    let mut carry = 0;
    let add = |(s, l): (&u8, &u8)| {
        carry += u32::from(*s) + u32::from(*l) * multiple;
        let byte = (carry % 256) as u8;
        carry /= 256;
        byte
    };
    let sum = s.iter().zip(&L).map(add).collect();
    (carry == 0).then_some(sum)
}

#[tokio::test]
async fn j04_a_signature_has_one_encoding_and_one_key() {
    let (_stack, mut doors, token, forge) = Doors::with_forge().await;
    let signature = decode(parts(&token)[2]);
    let (r, s) = signature.split_at(32);
    let mut tokens: Vec<(String, Vec<u8>)> =
        (1..16).filter_map(|n| Some((format!("S + {n} L"), [r, &plus_order(s, n)?].concat()))).collect();
    assert!(tokens.len() >= 14, "S is below L, and 32 bytes hold more than 15 L");
    let der = [&[0x30, 0x44, 0x02, 0x20], r, &[0x02, 0x20], s].concat();
    let mut identity = [0; 32];
    identity[0] = 1;
    for (name, signature) in [
        ("DER", der),
        ("one byte less", signature[..63].to_vec()),
        ("one byte more", [&signature, [0].as_slice()].concat()),
        ("twice", signature.repeat(2)),
        ("S first", [s, r].concat()),
        ("the lowest byte last", signature.iter().rev().copied().collect()),
        ("nothing", Vec::new()),
        ("zeros", vec![0; 64]),
        ("ones", vec![0xff; 64]),
        ("S = 0", [r, &[0; 32]].concat()),
        ("S = L", [r, &L].concat()),
        ("a point of small order", [identity, [0; 32]].concat()),
    ] {
        tokens.push((name.to_owned(), signature));
    }
    let other = forge.with_another_key().sign(&forge.header(), &claims(&token));
    let tokens = tokens.into_iter().map(|(name, signature)| (name, signed(&token, &signature)));
    doors.believe_only(&token, tokens.chain([("another key".to_owned(), other)])).await;
}

#[tokio::test]
async fn j06_a_header_that_says_how_to_treat_the_token_is_refused_and_nothing_is_fetched() {
    let (_stack, mut doors, token, forge) = Doors::with_forge().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let x = URL_SAFE_NO_PAD.encode(forge.public_key());
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": forge.header()["kid"]});
    let empty = || [json!(""), json!([]), json!({}), json!(false), json!(0), Value::Null];
    let certificate = json!([STANDARD.encode(forge.public_key())]);
    let tokens = [
        ("crit", vec![json!(["exp"]), json!(["b64"]), json!(["x"]), json!("exp")]),
        ("jku", vec![json!(url), json!(url.replace("http", "https"))]),
        ("x5u", vec![json!(url)]),
        ("jwk", vec![jwk]),
        ("x5c", vec![certificate]),
        ("b64", vec![json!(true)]),
        ("x5t#S256", vec![json!(x)]),
        ("enc", vec![json!("A256GCM")]),
        ("zip", vec![json!("DEF")]),
        ("cty", vec![json!("JWT")]),
        ("x", vec![json!(1)]),
    ];
    let tokens = tokens.into_iter().flat_map(|(name, values)| {
        values.into_iter().chain(empty()).map(move |value| (name, value)).collect::<Vec<_>>()
    });
    let tokens = tokens.map(|(name, value)| {
        let mut header = forge.header();
        header[name] = value;
        (header.to_string(), forge.sign(&header, &claims(&token)))
    });
    doors.believe_only(&token, tokens.collect::<Vec<_>>()).await;
    assert!(listener.accept().is_err(), "somebody followed a URL in a token");
    let _reachable = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    listener.set_nonblocking(false).unwrap();
    listener.accept().unwrap();
}

#[tokio::test]
async fn j07_a_kid_is_compared_and_nothing_else() {
    let (_stack, mut doors, token, forge) = Doors::with_forge().await;
    let kid = forge.header()["kid"].as_str().unwrap().to_owned();
    let texts = [
        "x".repeat(4096),
        "x".repeat(2500),
        "../../../../etc/passwd".into(),
        "file:///dev/null".into(),
        "' OR kid IS NOT NULL --".into(),
        "'; DROP TABLE signing_keys; --".into(),
        "\0".into(),
        format!("{kid}\0"),
        format!("{kid} "),
        format!(" {kid}"),
        kid.to_lowercase(),
        kid[1..].into(),
        kid.repeat(2),
        "%".into(),
        "*".into(),
        "\u{202e}\u{1b}[2J\r\n".into(),
        String::new(),
    ];
    let values = texts.map(Value::from).into_iter();
    let values = values.chain([Value::Null, json!(0), json!(true), json!([kid]), json!({"kid": kid})]);
    let tokens = values.map(|value| {
        let mut header = forge.header();
        header["kid"] = value.clone();
        (value, forge.sign(&header, &claims(&token)))
    });
    let without = forge.with_header(&token, json!({"kid": null}));
    doors.believe_only(&token, tokens.chain([(json!("missing"), without)]).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn j07_a_thousand_unknown_kids_are_refused_and_harm_nobody() {
    let (stack, mut doors, token, forge) = Doors::with_forge().await;
    let vigil = Vigil::begin(&stack).await;
    let unknown = |n: usize| forge.with_header(&token, json!({"kid": format!("unknown-{n}")}));
    let http = stack.http();
    let answers = stream::iter(0..1000).map(|n| {
        let (http, token) = (http.clone(), unknown(n));
        async move { http.bare("GET", "/users/me", &token).await.status }
    });
    let statuses: Vec<_> = answers.buffer_unordered(32).collect().await;
    assert_eq!(statuses, [401; 1000]);
    doors.believe_only(&token, (0..20).map(|n| (n, unknown(n)))).await;
    vigil.assert_unharmed();
}
