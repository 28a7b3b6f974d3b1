//! Tokens in a form that two readers would read differently, or that is no token's at all: they are refused unread.

use portcullis_proto::v1::GetUserRequest;
use serde_json::{Value, json};

use crate::harness::{Doors, claims, exchange, exchange_all, with_token};

#[tokio::test]
async fn j12_what_two_readers_would_read_differently_is_refused() {
    let (_stack, mut doors, token, forge) = Doors::with_forge().await;
    let (header, payload) = (forge.header().to_string(), claims(&token).to_string());
    let kid = forge.header()["kid"].clone();
    let sub = claims(&token)["sub"].clone();
    let add = |object: &str, members: &str| format!("{}{members}}}", object.strip_suffix('}').unwrap());
    let list = |value: &Value| json!(value.as_object().unwrap().values().collect::<Vec<_>>()).to_string();
    let mut not_utf8 = add(&payload, r#","x":"?""#).into_bytes();
    let at = not_utf8.len() - 3;
    not_utf8[at] = 0xff;
    let text = |text: String| text.into_bytes();
    let payloads = [
        ("the same claim twice", text(add(&payload, &format!(r#","sub":{sub}"#)))),
        ("another value of a claim", text(add(&payload, r#","exp":99999999999"#))),
        ("a name twice by an escape", text(add(&payload, &format!(r#","s\u0075b":{sub}"#)))),
        ("a foreign claim twice", text(add(&payload, r#","x":1,"x":1"#))),
        ("two nbf", text(add(&payload, r#","nbf":1,"nbf":1"#))),
        ("a byte after the claims", text(format!("{payload}x"))),
        ("two objects", text(format!("{payload}{payload}"))),
        ("a NUL after the claims", text(format!("{payload}\0"))),
        ("a byte order mark", text(format!("\u{feff}{payload}"))),
        ("a comma too many", text(add(&payload, ","))),
        ("a comment", text(format!("/**/{payload}"))),
        ("not UTF-8", not_utf8),
        ("deeply nested", text(add(&payload, &format!(r#","x":{}{}"#, "[".repeat(900), "]".repeat(900))))),
        ("claims in a text", text(json!(payload).to_string())),
        ("claims in a list", text(format!("[{payload}]"))),
        ("claims as a list", text(list(&claims(&token)))),
        ("a token in a token", text(token.clone())),
        ("a token in a token, as text", text(json!(token).to_string())),
        ("nothing", Vec::new()),
        ("null", text("null".into())),
    ];
    let payloads = payloads.map(|(name, bytes)| (name, forge.sign_bytes(&header, bytes)));
    let headers = [
        ("the same name twice", add(&header, &format!(r#","kid":{kid}"#))),
        ("alg twice", add(&header, r#","alg":"none""#)),
        ("alg twice, ours last", format!(r#"{{"alg":"none",{}"#, &header[1..])),
        ("a byte after the header", format!("{header}x")),
        ("two headers", format!("{header}{header}")),
        ("a header in a list", format!("[{header}]")),
        ("a header as a list", json!(["EdDSA", "at+jwt", kid]).to_string()),
        ("a header in a text", json!(header).to_string()),
        ("an empty header", "{}".into()),
        ("no header", String::new()),
    ];
    let headers = headers.map(|(name, text)| (name, forge.sign_bytes(text, &payload)));
    doors.believe_only(&forge.sign_bytes(&header, &payload), payloads.into_iter().chain(headers)).await;
    // What the issuer may say besides: foreign claims, each once.
    assert!(doors.believe(&forge.sign_bytes(&header, add(&payload, r#","x":{"y":[1]},"z":null"#))).await);
}

#[tokio::test]
async fn j12_a_token_has_three_parts_in_one_encoding() {
    let (_stack, mut doors, token, _) = Doors::with_forge().await;
    let parts: Vec<&str> = token.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let tokens = [
        ("padding of the signature", format!("{token}==")),
        ("padding of the header", format!("{header}=.{payload}.{signature}")),
        ("padding of the claims", format!("{header}.{payload}=.{signature}")),
        ("two parts", format!("{header}.{payload}")),
        ("one part", header.to_owned()),
        ("four parts", format!("{token}.")),
        ("four parts, the last repeated", format!("{token}.{signature}")),
        ("four parts, the first empty", format!(".{token}")),
        ("five parts, as in a JWE", format!("{header}.{payload}.{payload}.{payload}.{signature}")),
        ("five parts, three empty", format!("{header}....{signature}")),
        ("an empty part", format!("{header}..{signature}")),
        ("only dots", "..".to_owned()),
        ("a character more", format!("{token}A")),
        ("four characters more", format!("{token}AAAA")),
        ("a line break, escaped", format!("{token}%0A")),
        ("a line break, in words", format!("{token}\\n")),
        ("a tab inside", format!("{header}\t.{payload}.{signature}")),
        ("a space inside", format!("{header}. {payload}.{signature}")),
        ("in quotes", format!("\"{token}\"")),
        ("with a name", format!("access_token={token}")),
        ("a list", format!("{token},{token}")),
        ("twice", format!("{token} {token}")),
        ("8 KiB after it", format!("{token}{}", "A".repeat(8 * 1024))),
        ("8 KiB of claims", format!("{header}.{}.{signature}", "A".repeat(8 * 1024))),
        ("8 KiB of dots", ".".repeat(8 * 1024)),
    ];
    doors.believe_only(&token, tokens).await;
}

/// A request for `/users/me` as bytes, to be followed by a token and the end of the head.
const HEAD: &str = "GET /users/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ";

#[tokio::test]
async fn j12_bytes_that_no_header_has_and_six_megabytes_are_cut_off_before_anybody_decodes_them() {
    let (stack, mut doors, token, _) = Doors::with_forge().await;
    let port = stack.gateway.port;
    let status = |text: &str| text.split(' ').nth(1).unwrap_or_default().to_owned();
    let ask = |token: &[u8]| status(&exchange(port, [HEAD.as_bytes(), token, b"\r\n\r\n"].concat()).text);
    assert_eq!(ask(token.as_bytes()), "200");
    for end in ["\0", "\n", "\r", "\n ", "\r\n ", "\u{7f}", "\u{1b}", "\u{85}", "\u{2028}", "\u{e9}"] {
        for bytes in [format!("{token}{end}x"), format!("{end}{token}")] {
            let status = ask(bytes.as_bytes());
            assert!(["400", "401"].contains(&status.as_str()), "{end:?}: {status}");
        }
    }
    let mut chunks = vec![b"\r\n\r\n".to_vec()];
    chunks.extend(std::iter::repeat_n(vec![b'A'; 64 * 1024], 96));
    let answer = exchange_all(port, HEAD, move || chunks.pop()).text;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let large = with_token(GetUserRequest { id: "me".into() }, &"A".repeat(6 * 1024 * 1024));
    let mut rpc = stack.rpc().await;
    assert!(rpc.users.get_user(large).await.is_err());
    assert!(doors.believe(&token).await);
}
