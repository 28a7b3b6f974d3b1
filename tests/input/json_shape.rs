//! JSON that is malformed, or that two parsers would read differently, is refused where it comes in.

use crate::harness::{Stack, Vigil, assert_is_refused, items, mail_entrances, token_entrances};

/// An object that a registration and a PATCH would take, with more in it.
fn with(more: &str) -> Vec<u8> {
    format!(r#"{{"email":"a@camelot.bt","password":"excalibur"{more}}}"#).into_bytes()
}

/// What makes such an object malformed when it stands in it.
const MALFORMED: &str = r#",
,,
,"x"
,"x":
,"x":1,
,x:1
,'x':1
,"x":NaN
,"x":Infinity
,"x":-Infinity
,"x":nan
,"x":True
,"x":None
,"x":undefined
,"x":01
,"x":+1
,"x":.5
,"x":1.
,"x":0x1
,"x":1e
,"x":-
,"x":[1,]
,"x":{"y":1,}
,"x":"\x41"
,"x":"\u12"
,"x":"\'"
,"x":"\ud800"
,"x":"\udc00"
,"x":"\udc00\ud800"
,"x":"\ud800\u0041"
,"\ud800":1
,"x":"\uD800
,"x":1 /* king */
,"email":"a@camelot.bt"
,"\u0065mail":"b@camelot.bt"
,"password":"excalibur"
,"x":1,"x":1
,"x":1,"\u0078":2
,"x":{"y":1,"y":2}
,"x":[[{"y":1,"\u0079":2}]]
,"":1,"":2"#;

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

#[tokio::test]
async fn h02_what_is_not_one_strict_json_object_is_refused() {
    let stack = Stack::start().await;
    let (http, entrances) = (stack.http(), stack.entrances().await);
    let vigil = Vigil::begin(&stack).await;
    let before = stack.database.contents().await;
    let good = String::from_utf8(with("")).unwrap();
    let of = |text: &str| text.as_bytes().to_vec();
    let objects = |text: &str| (of(text), "- model_attributes_type");
    let broken = |bytes: Vec<u8>| (bytes, "- json_invalid");
    let mut cases = vec![
        (Vec::new(), "- missing"),
        (of("null"), "- missing"),
        objects("[]"),
        objects(&format!("[{good}]")),
        objects(r#"["a@camelot.bt","excalibur"]"#),
        objects(r#""a@camelot.bt""#),
        objects("true"),
        objects("7"),
        objects(&nested(127)),
    ];
    let odd = [
        ",\"x\":\"a\nb\"",
        ",\"x\":\"a\tb\"",
        ",\"x\":\"a\0b\"",
        ",\"x\":1 // king\n",
        ",\"x\":1 # king\n",
        ",\"x\":1\u{a0}",
        ",\u{b}\"x\":1",
        ",\"x\":1\0",
    ];
    cases.extend(MALFORMED.lines().chain(odd).map(|more| broken(with(more))));
    cases.extend(
        ["{", " ", "\n", "{}{}", "{} x", "{}]", "{}\0", "\0{}", "\u{feff}{}", "{\u{feff}}", "{]", "[}"]
            .map(|text| broken(of(text))),
    );
    cases.extend([&good[1..], &good[..good.len() - 1]].map(|text| broken(of(text))));
    cases.extend(["\u{feff}", ""].iter().flat_map(|mark| {
        let text = format!("{mark}{good}");
        [broken(utf16(&text, u16::to_le_bytes)), broken(utf16(&text, u16::to_be_bytes))]
    }));
    cases.extend([128, 5000].map(|depth| broken(of(&nested(depth)))));
    cases.extend([127, 128, 5000].map(|depth| broken(with(&format!(",\"x\":{}", nested(depth))))));
    cases.push(broken(with(&format!(",\"x\":{}", "[".repeat(15_000)))));
    cases.push(broken(with(&format!(",\"x\":{}", "{\"y\":".repeat(2000)))));
    for (body, item) in cases {
        let what = String::from_utf8_lossy(&body).chars().take(200).collect::<String>();
        for entrance in &entrances {
            let answer = entrance.send(&http, body.clone()).await;
            assert_is_refused(&answer, 422, &what);
            assert_eq!(items(&answer), [item], "{what}");
        }
        // These know no body that is no object: it has none of their fields.
        for entrance in mail_entrances().iter().chain(&token_entrances()) {
            let answer = entrance.send(&http, body.clone()).await;
            assert_is_refused(&answer, 422, &what);
            if item == "- json_invalid" {
                assert_eq!(items(&answer), [item], "{what}");
            } else {
                assert!(items(&answer).iter().all(|item| item.ends_with(" missing")), "{what} {answer:?}");
            }
        }
    }
    for entrance in entrances.iter().chain(&mail_entrances()).chain(&token_entrances()) {
        assert_is_refused(&entrance.send(&http, nested(100_000)).await, 413, "depth 100,000");
    }
    vigil.assert_unharmed();
    assert_eq!(stack.database.contents().await, before);
}

#[tokio::test]
async fn h02_a_value_of_another_type_is_refused_and_an_odd_spelling_of_a_good_one_is_not() {
    let stack = Stack::start().await;
    let (http, entrances) = (stack.http(), stack.entrances().await);
    let before = stack.database.contents().await;
    for value in ["true", "0", "-0", "1.0", "18446744073709551616", "1e999", "[]", "[\"a@camelot.bt\"]", "{}"]
    {
        for field in ["email", "password"] {
            let other = if field == "email" { "password" } else { "email" };
            let body = format!(r#"{{"{field}":{value},"{other}":"guinevere@camelot.bt"}}"#);
            for entrance in &entrances {
                assert_is_refused(&entrance.send(&http, body.clone()).await, 422, &body);
            }
        }
    }
    for value in
        ["2", "-1", "0.5", "18446744073709551616", "1e999", "\"\"", "\" yes\"", "\"2\"", "[]", "[true]", "{}"]
    {
        let body = with(&format!(",\"is_active\":{value}"));
        for entrance in &entrances {
            assert_is_refused(&entrance.send(&http, body.clone()).await, 422, value);
        }
    }
    assert_eq!(stack.database.contents().await, before);
    let [register, me, _] = &entrances;
    let spelled = [
        r#" { "\u0065mail" : "\u0061@camelot.bt" , "password" : "e\u0078calibur \ud83c\udff0" , "x" : "\ud83c\udff0" } "#.to_owned(),
        format!(r#"{{"email":"b@camelot.bt","password":"excalibur","is_active":-0,"x":{}}}"#, nested(126)),
        format!(r#"{{"email":"c@camelot.bt","password":"excalibur","Email":7,"email ":[],"x":{}}}"#, nested(63)),
    ];
    for body in spelled {
        let answer = register.send(&http, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert_eq!(http.log_in("a@camelot.bt", "excalibur 🏰").await.status, 200);
    let nothing = me.send(&http, format!(r#"{{"x":{},"":1,"is_active":"yes"}}"#, nested(126))).await;
    assert_eq!(nothing.status, 200, "{nothing:?}");
}

#[tokio::test]
async fn h02_only_what_is_said_to_be_json_is_read_as_json() {
    let stack = Stack::start().await;
    let (http, entrances) = (stack.http(), stack.entrances().await);
    let before = stack.database.contents().await;
    for entrance in &entrances {
        for content_type in [
            "",
            "text/plain",
            "text/json",
            "application/jsonx",
            "application/json+xml",
            "application/x-json",
            "json",
            "application/json, text/plain",
            "application",
            "image/svg+json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=XX",
            "*/*",
            "application/\u{ff}json",
        ] {
            let request = match content_type {
                "" => entrance.request(&http),
                other => entrance.request(&http).header("content-type", other),
            };
            let answer = http.send(request.body(with(""))).await;
            assert_is_refused(&answer, 422, content_type);
            assert_eq!(items(&answer), ["- model_attributes_type"], "{content_type}");
        }
    }
    for entrance in mail_entrances() {
        for request in [entrance.request(&http), entrance.request(&http).header("content-type", "text/json")]
        {
            let answer = http.send(request.body(with(""))).await;
            assert_is_refused(&answer, 422, &entrance.path);
            assert_eq!(items(&answer), ["email missing"]);
        }
    }
    assert_eq!(stack.database.contents().await, before);
    for (number, content_type) in [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=latin-1",
        "application/json;charset=utf-16;charset=x",
        "application/json ; =",
        "application/vnd.api+json",
    ]
    .iter()
    .enumerate()
    {
        let body = format!(r#"{{"email":"{number}é@camelot.bt","password":"excalibur"}}"#);
        let request = entrances[0].request(&http).header("content-type", *content_type).body(body);
        let answer = http.send(request).await;
        assert_eq!(
            (answer.status, answer.text("email")),
            (201, format!("{number}é@camelot.bt")),
            "{content_type}"
        );
    }
}
