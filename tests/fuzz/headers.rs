//! The parsers of the cookie, of the `Authorization` header, of ids and of e-mail addresses, and the CSRF decision.

use std::iter::successors;

use actix_web::http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};
use gateway::auth::cookie;
use gateway::auth::origin::{Decision, Origin, Origins};
use gateway::failure::Failure;
use identity_service::ids::parse_uuid;
use percent_encoding::{percent_decode, percent_decode_str};
use portcullis_proto::bearer;
use portcullis_proto::email::{Email, MAX_BYTES, MAX_LOCAL_BYTES};
use proptest::prelude::*;
use proptest::sample::select;
use secrecy::{ExposeSecret as _, SecretString};
use unicode_normalization::UnicodeNormalization as _;

use crate::harness::{any_bytes, fuzz, lossy, nearly};

/// Headers of one name, with what no header can hold replaced.
fn headers(name: HeaderName, values: Vec<Vec<u8>>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for value in values {
        let legal = |byte: u8| if byte == b'\t' || (byte >= 32 && byte != 127) { byte } else { b' ' };
        let value: Vec<u8> = value.into_iter().map(legal).collect();
        map.append(name.clone(), HeaderValue::from_bytes(&value).unwrap());
    }
    map
}

fn exposed(token: Result<Option<SecretString>, Failure>) -> Result<Option<String>, Failure> {
    Ok(token?.map(|token| token.expose_secret().to_owned()))
}

/// Our cookies as a careless server sees them (actix-web does): names and values trimmed of Unicode spaces and decoded.
fn careless(header: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(header);
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8_lossy().trim().to_owned();
    pairs.filter(|(name, _)| decoded(name) == cookie::ACCESS.name).map(|(_, value)| decoded(value)).collect()
}

/// Whether a name becomes ours when it is decoded, or is encoded more often than anybody looks.
fn is_disguised(name: &[u8]) -> bool {
    let decode = |name: &Vec<u8>| Some(percent_decode(name).collect());
    let layers: Vec<_> = successors(decode(&name.to_vec()), decode).take(4).collect();
    let blank = |c: char| c.is_whitespace() || c.is_control();
    layers.iter().any(|layer| String::from_utf8_lossy(layer).trim_matches(blank) == cookie::ACCESS.name)
        || layers[2] != layers[3]
}

#[test]
fn h30_of_any_cookie_header_a_careless_server_makes_the_same_or_it_is_refused() {
    const WORDS: &[&str] = &[
        "fastapiusersauth",
        "=",
        "; ",
        ";",
        "\"",
        " ",
        "\t",
        "%66",
        "%2566",
        "%25",
        "25",
        "%20",
        "\u{2000}",
        "\u{a0}",
        "\u{85}",
        "$Version=1",
        "fastapiusersauth=evil",
        "__Host-",
        ",",
    ];
    let pair =
        prop_oneof!["fastapiusersauth=[a-zA-Z0-9._-]{0,6}", "[a-z]{0,3}=[ -~]{0,5}", "fastapiusersauth|x"];
    let valid = prop::collection::vec(pair, 0..5).prop_map(|pairs| pairs.join("; "));
    let header = prop_oneof![9 => nearly(valid, WORDS), 1 => any_bytes(60)];
    fuzz(prop::collection::vec(header, 0..3), |values| {
        let map = headers(COOKIE, values);
        let seen: Vec<_> = map.get_all(COOKIE).flat_map(|value| careless(value.as_bytes())).collect();
        let pairs = map.get_all(COOKIE).flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
        let names = pairs.map(|pair| (pair.contains(&b'='), pair.split(|byte| *byte == b'=').next()));
        let names = names.map(|(is_pair, name)| (is_pair, name.unwrap_or_default().trim_ascii()));
        let (ours, others): (Vec<_>, Vec<_>) =
            names.partition(|(_, name)| *name == cookie::ACCESS.name.as_bytes());
        // Nobody is refused for nothing: it is there twice, or in disguise.
        let is_ambiguous = ours.iter().filter(|(is_pair, _)| *is_pair).count() > 1
            || others.iter().any(|(_, name)| is_disguised(name));
        match exposed(cookie::ACCESS.read(&map)) {
            Ok(found) => {
                let found = found.unwrap_or_default();
                let found = percent_decode_str(&found).decode_utf8_lossy().trim().to_owned();
                assert!(seen.len() < 2 && !is_ambiguous, "{seen:?} in {map:?}");
                let seen = seen.first().map(|seen| unquote(seen)).unwrap_or_default();
                assert_eq!(unquote(&found).trim(), seen.trim(), "{map:?}");
            }
            Err(failure) => {
                assert_eq!(failure, Failure::AmbiguousCredential);
                assert!(is_ambiguous, "{map:?}");
            }
        }
    });
}

fn unquote(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(text).to_owned()
}

/// The gateway reads the header of HTTP with it, identity-service the metadata of gRPC.
#[test]
fn h30_an_authorization_has_a_token_if_it_is_two_words_the_first_bearer() {
    const WORDS: &[&str] = &["Bearer", "bearer ", "Basic", " ", "\t", ",", "=", "\"", "\u{a0}"];
    let valid = "(Bearer|bearer|BEARER|Basic|)( |  |)[A-Za-z0-9._-]{0,8}";
    let value = prop_oneof![9 => nearly(valid, WORDS), 1 => any_bytes(30)];
    fuzz(prop::collection::vec(value, 0..3), |values| {
        let expected = match values.as_slice() {
            [] => Ok(None),
            [value] => {
                let words: Vec<_> =
                    value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
                match words.as_slice() {
                    [scheme, token] if scheme.eq_ignore_ascii_case(b"bearer") => Ok(str::from_utf8(token)
                        .ok()
                        .filter(|text| text.bytes().all(|c| (33..127).contains(&c)))),
                    _ => Ok(None),
                }
            }
            _ => Err(bearer::Ambiguous),
        };
        assert_eq!(bearer::token(values.iter().map(Vec::as_slice)), expected, "{values:?}");
    });
}

#[test]
fn h30_a_browsers_request_passes_by_the_contracts_rule_alone() {
    const PUBLIC: &str = "https://id.example";
    const LISTED: [&str; 2] = ["https://app.example", "http://localhost:3000"];
    const WORDS: &[&str] =
        &["null", ".evil.example", "https://", "http://", ":443", "/", " ", ",", "-", "id.", "\0"];
    let listed = LISTED.map(|origin| Origin::parse(origin).unwrap()).to_vec();
    let origins = Origins::new(Origin::parse(PUBLIC).unwrap(), listed);
    let origin = prop_oneof![
        4 => nearly(select(&[PUBLIC, LISTED[0], LISTED[1]][..]), WORDS),
        1 => nearly(select(&["null", "", "*"][..]), WORDS),
        1 => any_bytes(20),
    ];
    let sites = ["same-origin", "none", "same-site", "cross-site"];
    let site = prop_oneof![4 => nearly(select(sites.to_vec()), WORDS), 1 => any_bytes(12)];
    fuzz((prop::option::of(origin), prop::option::of(site)), |(origin, site)| {
        let (origin, site) = (origin.as_deref(), site.as_deref());
        let is =
            |texts: &[&str], value: Option<&[u8]>| texts.iter().any(|text| value == Some(text.as_bytes()));
        let passes = is(&LISTED, origin)
            || is(&["same-origin", "none"], site)
            || is(&[PUBLIC], origin)
            || (origin.is_none() && site.is_none());
        let expected = if passes { Decision::Pass } else { Decision::Refuse };
        assert_eq!(origins.decide(origin, site), expected);
        // What can be put on the list is what a browser can send, and no pattern.
        let text = origin.and_then(|origin| std::str::from_utf8(origin).ok()).unwrap_or_default();
        if Origin::parse(text).is_ok() {
            let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap();
            let is_plain = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase() && !"/?#@\\".contains(c);
            assert!(!host.is_empty() && host.chars().all(is_plain), "{text}");
        }
    });
}

#[test]
fn h30_an_id_is_read_in_one_form_only() {
    const WORDS: &[&str] = &["{", "}", "urn:uuid:", "-", "g", "\u{660}", " ", "0"];
    let id = any::<[u8; 16]>().prop_map(|bytes| uuid::Uuid::from_bytes(bytes).to_string());
    let other = any::<[u8; 16]>().prop_map(|bytes| uuid::Uuid::from_bytes(bytes).simple().to_string());
    let upper = id.clone().prop_map(|id| id.to_uppercase());
    let valid = prop_oneof![4 => id, 2 => upper, 1 => other];
    fuzz(lossy(prop_oneof![9 => nearly(valid, WORDS), 1 => any_bytes(50)]), |text| {
        let groups: Vec<_> = text.split('-').collect();
        let is_canonical = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
            && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let read = parse_uuid(&text).map(|id| id.to_string());
        assert_eq!(read, is_canonical.then(|| text.to_lowercase()));
    });
}

#[test]
fn h30_an_address_has_one_normal_form_and_two_are_equal_if_their_canonical_forms_are() {
    const WORDS: &[&str] = &[
        "@",
        ".",
        "..",
        "-",
        "--",
        "xn--",
        "<",
        ">",
        "\"",
        " ",
        "\t",
        "\r\n",
        "\0",
        "İ",
        "ı",
        "ſ",
        "\u{212a}",
        "ẞ",
        "ß",
        "Σ",
        "ς",
        "\u{301}",
        "\u{338}",
        "\u{345}",
        "\u{200b}",
        "\u{200d}",
        "\u{202e}",
        "＠",
        "。",
        "ａ",
        "ü",
        "例",
        "٣",
        "Ꭰ",
        "Ⱥ",
        "(x)",
        "[1.2.3.4]",
        "king",
        "KING",
    ];
    let valid =
        r#"(|[A-Z][a-z]{1,4} |"x" )<?[a-zA-Zé]{1,6}([.+][a-z0-9ßİ]{1,4})?@[a-zü]{1,5}\.(com|bt|рф|test)>?"#;
    let limits = (60..70usize, 180..200usize).prop_map(|(local, domain)| {
        let domain = ["d".repeat(60), "d".repeat(60), "d".repeat(domain - 120), "bt".into()].join(".");
        format!("{}@{domain}", "l".repeat(local))
    });
    let text = prop_oneof![8 => nearly(valid, WORDS), 1 => nearly(limits, WORDS), 1 => any_bytes(40)];
    fuzz((lossy(text), any::<u32>()), |(text, cases)| {
        let Ok(email) = Email::parse(&text) else { return };
        let normal = email.as_str();
        let again = Email::parse(normal).expect("a normal form is an address");
        assert_eq!((again.as_str(), again.canonical()), (normal, email.canonical()));
        assert!(normal.nfc().eq(normal.chars()), "{text}");
        let (local, domain) = normal.rsplit_once('@').unwrap();
        assert!(!local.is_empty() && local.len() <= MAX_LOCAL_BYTES && normal.len() <= MAX_BYTES);
        assert!(domain.contains('.') && !normal.contains(|c: char| c.is_control() || c.is_whitespace()));
        assert_eq!(email.canonical(), email.canonical().to_lowercase());
        if let Ok(canonical) = Email::parse(email.canonical()) {
            assert_eq!(canonical.canonical(), email.canonical());
        }
        // The same in other cases, and with a name and spaces around it.
        let flip = |(at, c): (usize, char)| {
            if c.is_ascii() && cases >> (at % 32) & 1 == 1 { c.to_ascii_uppercase() } else { c }
        };
        let spelled: String = normal.chars().enumerate().map(flip).collect();
        let spelled = Email::parse(&format!(" King <{spelled}>\t")).expect("an address in another case");
        assert!(spelled == email && spelled.canonical() == email.canonical(), "{text}");
        let longer = Email::parse(&format!("x{normal}"));
        assert!(longer.ok().is_none_or(|longer| longer != email), "{text}");
    });
}
