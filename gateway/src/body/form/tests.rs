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
    let repeated = "grant_type=x&username=x&password=x&username=y&password=p&grant_type=password&scope=";
    assert_eq!(form(repeated).await, good("y", "p"));
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

async fn scope(text: &str) -> bool {
    let body = Body {
        essence: "application/x-www-form-urlencoded".to_owned(),
        content_type: Vec::new(),
        bytes: format!("username=a&password=b&{text}").into(),
    };
    credentials(&body).await.ok().unwrap().offline_access
}

#[actix_web::test]
async fn one_value_of_the_scope_asks_for_a_refresh_token_and_others_for_nothing() {
    for text in ["scope=offline_access", "scope=a+offline_access+b", "scope=x&scope=%20offline_access"] {
        assert!(scope(text).await, "{text}");
    }
    for text in [
        "",
        "scope=",
        "scope=OFFLINE_ACCESS",
        "scope=offline_access2",
        "scope=xoffline_access",
        "scope=offline_access,openid",
        "scope=a%09offline_access",
        "scope=offline_access&scope=x",
        "Scope=offline_access",
    ] {
        assert!(!scope(text).await, "{text}");
    }
}

/// The refresh token of a form, or what is answered to it.
async fn refresh(text: &[u8]) -> Result<String, (u16, Value)> {
    let body = Body {
        essence: "application/x-www-form-urlencoded".to_owned(),
        content_type: Vec::new(),
        bytes: Bytes::copy_from_slice(text),
    };
    let read = refresh_token(&body).await.map(|token| token.expose_secret().to_owned());
    read.map_err(|failure| (failure.answer().0.as_u16(), failure.answer().1["detail"].clone()))
}

#[actix_web::test]
async fn a_refresh_token_needs_its_grant_type_and_the_last_of_a_repeated_one_counts() {
    let good = b"grant_type=x&grant_type=refresh_token&refresh_token=a&refresh_token=b&scope=%20";
    assert_eq!(refresh(good).await, Ok("b".to_owned()));
    let kinds = async |text: &str| match refresh(text.as_bytes()).await {
        Err((422, detail)) => {
            let kind = |item: &Value| format!("{} {}", item["loc"][1], item["type"]).replace('"', "");
            detail.as_array().unwrap().iter().map(kind).collect::<Vec<_>>().join(", ")
        }
        other => panic!("{other:?}"),
    };
    let (missing, wrong) = ("grant_type missing", "grant_type string_pattern_mismatch");
    assert_eq!(kinds("").await, format!("{missing}, refresh_token missing"));
    assert_eq!(kinds("grant_type=&refresh_token=").await, format!("{missing}, refresh_token missing"));
    assert_eq!(kinds("grant_type=password&refresh_token=a").await, wrong);
    assert_eq!(kinds("grant_type=refresh_token%0a&refresh_token=a").await, wrong);
    assert_eq!(kinds("grant_type=%ff&refresh_token=%ff").await, wrong);
    assert_eq!(kinds("grant_type=refresh_token&refresh_token=a&x=%00").await, "null value_error");
}

#[actix_web::test]
async fn bytes_that_cannot_be_a_refresh_token_are_a_bad_one() {
    let bad = Err((401, "REFRESH_BAD_TOKEN".into()));
    for text in ["refresh_token=%ff", "refresh_token=a&scope=%ff", "refresh_token=a&%ff=b"] {
        assert_eq!(refresh(format!("grant_type=refresh_token&{text}").as_bytes()).await, bad, "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_back(username in "[^\\x00]{1,20}", password in ".{1,20}") {
        let encode = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let text = format!("username={}&password={}", encode(&username), encode(&password));
        let read = to_credentials(urlencoded(text.as_bytes())).ok().unwrap();
        prop_assert_eq!(read.username, username);
        prop_assert_eq!(read.password.expose_secret(), password);
    }

    #[test]
    fn different_bytes_are_never_the_same_password(a in proptest::collection::vec(any::<u8>(), 1..8), b in proptest::collection::vec(any::<u8>(), 1..8)) {
        let password = |bytes: &[u8]| {
            let encoded = percent_encoding::percent_encode(bytes, percent_encoding::NON_ALPHANUMERIC);
            let form = urlencoded(format!("username=u&password={encoded}").as_bytes());
            to_credentials(form).ok().map(|read| read.password.expose_secret().to_owned())
        };
        if let (Some(x), Some(y)) = (password(&a), password(&b)) {
            prop_assert_eq!(x == y, a == b);
        }
    }

    #[test]
    fn no_bytes_make_the_form_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = to_credentials(urlencoded(&bytes)).is_ok();
    }
}
