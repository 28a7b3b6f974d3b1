use super::*;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;

async fn read(content_type: &str, bytes: &[u8]) -> Result<(String, String), (u16, Value)> {
    let body = Body {
        essence: content_type.split(';').next().unwrap().to_owned(),
        content_type: content_type.as_bytes().to_vec(),
        bytes: Bytes::copy_from_slice(bytes),
    };
    match credentials(&body).await {
        Ok(credentials) => Ok((credentials.username, credentials.password.expose_secret().to_owned())),
        Err(failure) => {
            let (status, body) = failure.answer();
            Err((status.as_u16(), body["detail"].clone()))
        }
    }
}

async fn form(text: &str) -> Result<(String, String), (u16, Value)> {
    read("application/x-www-form-urlencoded", text.as_bytes()).await
}

fn kinds(result: Result<(String, String), (u16, Value)>) -> Vec<String> {
    let (status, detail) = result.unwrap_err();
    assert_eq!(status, 422);
    let kind = |item: &Value| format!("{} {}", item["loc"][1], item["type"]).replace('"', "");
    detail.as_array().unwrap().iter().map(kind).collect()
}

fn good(username: &str, password: &str) -> Result<(String, String), (u16, Value)> {
    Ok((username.to_owned(), password.to_owned()))
}

#[actix_web::test]
async fn a_urlencoded_form_is_decoded_once_and_the_last_of_a_repeated_field_counts() {
    assert_eq!(form("username=a%40b.com&password=p+%2B%2525").await, good("a@b.com", "p +%25"));
    assert_eq!(form("username=x&username=y&password=p&grant_type=&scope=a").await, good("y", "p"));
    assert_eq!(form("username=y&password=a%00b&grant_type=password").await, good("y", "a\0b"));
    assert_eq!(form("username=y&password=%zz%4").await, good("y", "%zz%4"));
}

#[actix_web::test]
async fn everything_wrong_with_a_form_is_reported_at_once() {
    let expected = ["grant_type string_pattern_mismatch", "username missing", "password missing"];
    assert_eq!(kinds(form("grant_type=x&username=").await), expected);
    assert_eq!(kinds(form("").await), expected[1..]);
    assert_eq!(kinds(read("application/json", br#"{"username":"a"}"#).await), expected[1..]);
    assert_eq!(kinds(read("", b"username=a&password=b").await), expected[1..]);
    let nul = form("grant_type=x&scope=%00&password=p").await;
    assert_eq!(kinds(nul), ["grant_type string_pattern_mismatch", "username missing", "null value_error"]);
}

#[actix_web::test]
async fn bytes_that_cannot_be_a_credential_are_bad_credentials() {
    for text in [
        "username=%ff&password=p",
        "username=a&password=%ff",
        "username=a%00&password=p",
        "username=a&password=p&scope=%ff",
        "username=a&password=p&%ff",
    ] {
        assert_eq!(form(text).await, Err((400, "LOGIN_BAD_CREDENTIALS".into())), "{text}");
    }
}

const MULTIPART: &str = "multipart/form-data; charset=utf-8; boundary=XX";

fn parts(end: &str) -> String {
    let part =
        |name, value| format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    format!("{}{}{end}", part("username", "a@b.com"), part("password", "p w"))
}

#[actix_web::test]
async fn a_multipart_form_is_read() {
    assert_eq!(read(MULTIPART, parts("--XX--\r\n").as_bytes()).await, good("a@b.com", "p w"));
    let quoted = "multipart/form-data; boundary=\"XX\"; x=\u{e9}";
    assert_eq!(read(quoted, parts("--XX--\r\n").as_bytes()).await, good("a@b.com", "p w"));
}

#[actix_web::test]
async fn a_broken_multipart_form_is_refused() {
    let whole = parts("--XX--\r\n");
    let detail = |text: &str| Err((400, text.into()));
    assert_eq!(read("multipart/form-data", whole.as_bytes()).await, detail("Missing boundary in multipart."));
    let other = "multipart/form-data; boundary=zzz";
    assert_eq!(read(other, whole.as_bytes()).await, detail("Invalid multipart data."));
    assert_eq!(kinds(read(MULTIPART, parts("").as_bytes()).await), ["password missing"]);
    assert_eq!(kinds(read(MULTIPART, b"--XX--\r\n").await), ["username missing", "password missing"]);
}

#[actix_web::test]
async fn a_file_is_no_text_whichever_field_it_is() {
    for field in ["grant_type", "username", "password"] {
        let grant = "--XX\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\npassword\r\n";
        let body = grant.to_owned() + &parts("--XX--\r\n");
        assert_eq!(read(MULTIPART, body.as_bytes()).await, good("a@b.com", "p w"));
        let body = body.replace(&format!("\"{field}\""), &format!("\"{field}\"; filename=\"p.txt\""));
        assert_eq!(kinds(read(MULTIPART, body.as_bytes()).await), [format!("{field} string_type")]);
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_back(username in "[^\\x00]{1,20}", password in ".{1,20}") {
        let encode = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let text = format!("username={}&password={}", encode(&username), encode(&password));
        let read = validate(urlencoded(text.as_bytes())).ok().unwrap();
        prop_assert_eq!(read.username, username);
        prop_assert_eq!(read.password.expose_secret(), password);
    }

    #[test]
    fn different_bytes_are_never_the_same_password(a in proptest::collection::vec(any::<u8>(), 1..8), b in proptest::collection::vec(any::<u8>(), 1..8)) {
        let password = |bytes: &[u8]| {
            let encoded = percent_encoding::percent_encode(bytes, percent_encoding::NON_ALPHANUMERIC);
            let form = urlencoded(format!("username=u&password={encoded}").as_bytes());
            validate(form).ok().map(|read| read.password.expose_secret().to_owned())
        };
        if let (Some(x), Some(y)) = (password(&a), password(&b)) {
            prop_assert_eq!(x == y, a == b);
        }
    }

    #[test]
    fn no_bytes_make_the_form_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = validate(urlencoded(&bytes)).is_ok();
    }
}
