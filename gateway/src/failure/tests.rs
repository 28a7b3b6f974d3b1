use std::time::Duration;

use portcullis_proto::violation::Kind;

use super::*;

fn overloaded(wait: Option<Duration>) -> HttpResponse {
    let details = Details { retry_after: wait, ..Details::default() };
    let operation = Operation::LogIn;
    Failure::Refused { reason: Reason::Overloaded, operation, details }.error_response()
}

#[test]
fn an_overload_says_in_whole_seconds_when_to_try_again() {
    for (wait, header) in [(None, "1"), (Some(0), "1"), (Some(1), "1"), (Some(1001), "2"), (Some(2000), "2")]
    {
        let response = overloaded(wait.map(Duration::from_millis));
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), header, "{wait:?}");
    }
}

#[test]
fn a_401_says_how_to_authenticate() {
    let response = Failure::Unauthenticated.error_response();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers().get(WWW_AUTHENTICATE).unwrap(), "Bearer");
}

#[test]
fn what_no_client_sent_is_not_his_concern() {
    let violation =
        |field: &str| Violation { field: field.to_owned(), kind: Kind::IntType, description: "d".to_owned() };
    let answer = |fields: &[&str]| {
        let violations = fields.iter().map(|field| violation(field)).collect();
        refusal(Reason::InvalidRequest, Operation::Register, &Details { violations, retry_after: None })
    };
    let (status, body) = answer(&["user_id", "email"]);
    assert_eq!((status.as_u16(), body["detail"].as_array().unwrap().len()), (422, 1));
    assert_eq!(
        answer(&["user_id"]),
        (StatusCode::INTERNAL_SERVER_ERROR, json!({"detail": "Internal Server Error"}))
    );
    assert_eq!(answer(&[]).0, 500);
}

#[test]
fn a_405_names_all_methods() {
    let response = Failure::UnknownMethod(vec![Method::GET, Method::PATCH]).error_response();
    assert_eq!(response.headers().get(ALLOW).unwrap(), "GET, PATCH");
}
