//! The whole error table, from the reason to the gRPC code to the HTTP answer, as one snapshot: a change of any
//! answer is seen in review.

use std::fmt::Write as _;
use std::time::Duration;

use gateway::failure::{Details, Operation, Violation, refusal};
use identity_service::credentials::PasswordRule;
use identity_service::error::Error;
use identity_service::status::classify;
use portcullis_proto::reason::Reason;

/// One error of each kind.
fn errors() -> Vec<Error> {
    vec![
        Error::invalid("email", "value is not a valid email address"),
        Error::PasswordRefused(PasswordRule::TooShort { min: 8 }),
        Error::EmailTaken,
        Error::UserIdTaken,
        Error::BadCredentials,
        Error::unauthenticated("no token"),
        Error::SuperuserRequired,
        Error::UserNotFound,
        Error::SessionNotFound,
        Error::Overloaded { retry_after: Duration::from_secs(2) },
        Error::DatabaseUnavailable("down".into()),
        Error::Internal("bug".into()),
    ]
}

#[test]
fn every_reason_has_one_grpc_code_and_one_http_answer_an_operation() {
    let errors = errors();
    let details = Details {
        violations: vec![Violation { field: "email".into(), description: "DESCRIPTION".into() }],
        retry_after: Some(Duration::from_secs(2)),
    };
    let mut table = String::new();
    for &reason in Reason::ALL {
        let codes: Vec<_> = errors
            .iter()
            .map(classify)
            .filter(|row| row.1 == reason)
            .map(|row| format!("{:?}", row.0))
            .collect();
        writeln!(table, "{} {}", reason.as_str(), codes.join(" ")).unwrap();
        for &operation in Operation::ALL {
            let (status, body) = refusal(reason, operation, &details);
            writeln!(table, "  {operation:?}: {} {body}", status.as_u16()).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}
