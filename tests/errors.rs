//! The whole error table, from the reason to the gRPC code to the HTTP answer, as one snapshot: a change of any
//! answer is seen in review.

use std::fmt::Write as _;
use std::time::Duration;

use gateway::body::invalid;
use gateway::failure::{Details, Failure, Operation, Violation, refusal};
use gateway::routes::methods_of;
use identity_service::credentials::PasswordRule;
use identity_service::error::Error;
use identity_service::sessions::RefreshRefusal;
use identity_service::status::classify;
use portcullis_proto::reason::Reason;

/// One error of each kind.
fn errors() -> Vec<Error> {
    vec![
        Error::InvalidRequest(Vec::new()),
        Error::PasswordRefused(PasswordRule::TooShort { min: 8 }),
        Error::EmailTaken,
        Error::UserIdTaken,
        Error::BadCredentials,
        Error::RefreshTokenRefused(RefreshRefusal::Reused),
        Error::RecoveryTokenRefused("it was used"),
        Error::AlreadyVerified,
        Error::EmailNotVerified,
        Error::unauthenticated("no token"),
        Error::SuperuserRequired,
        Error::UserNotFound,
        Error::SessionNotFound,
        Error::Overloaded { retry_after: Duration::from_secs(2) },
        Error::DatabaseUnavailable("down".into()),
        Error::OutcomeUnknown("down".into()),
        Error::TooLate,
        Error::Internal("bug".into()),
    ]
}

#[test]
fn every_reason_has_one_grpc_code_and_one_http_answer_an_operation() {
    let errors = errors();
    let details = |field: &str| Details {
        violations: vec![Violation { field: field.into(), description: "DESCRIPTION".into() }],
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
        assert_eq!(codes.len(), 1, "{reason:?} has not exactly one gRPC code: {codes:?}");
        writeln!(table, "{} {}", reason.as_str(), codes[0]).unwrap();
        for &operation in Operation::ALL {
            let field = if reason == Reason::PasswordRefused { "password" } else { "email" };
            let (status, body) = refusal(reason, operation, &details(field));
            writeln!(table, "  {operation:?}: {} {body}", status.as_u16()).unwrap();
        }
    }
    table.push_str("\nWhat the gateway refuses or fails at by itself\n");
    for failure in own_failures() {
        let (status, body) = failure.answer();
        write!(table, "{}: {} {body}", name(&failure), status.as_u16()).unwrap();
        for (name, value) in failure.headers() {
            write!(table, " {name}: {}", value.to_str().unwrap()).unwrap();
        }
        table.push('\n');
    }
    insta::assert_snapshot!(table);
}

/// One failure of each kind: the compiler says when one is missing in [`name`], the test when one is missing here.
fn own_failures() -> Vec<Failure> {
    let (foreign, _) = Failure::InvalidMultipart.answer();
    let overloaded = Failure::Refused {
        reason: Reason::Overloaded,
        operation: Operation::LogIn,
        details: Details { retry_after: Some(Duration::from_millis(1500)), ..Details::default() },
    };
    let failures = vec![
        overloaded,
        Failure::Unreachable,
        Failure::TooLate,
        Failure::Internal,
        Failure::Invalid(vec![invalid::missing("email"), invalid::unknown_grant("password")]),
        Failure::Unauthenticated,
        Failure::ForeignOrigin,
        Failure::UnknownPath,
        Failure::UnknownMethod(methods_of("/users/me")),
        Failure::AmbiguousCredential,
        Failure::ImpossibleCredential,
        Failure::BadRefreshToken,
        Failure::MissingBoundary,
        Failure::InvalidMultipart,
        Failure::BrokenBody,
        Failure::BodyTooLarge,
        Failure::BodyTooSlow,
        Failure::EncodedBody,
        Failure::UrlTooLong,
        Failure::Foreign(foreign),
    ];
    let names: std::collections::HashSet<_> = failures.iter().map(name).collect();
    assert_eq!(names.len(), NAMES, "a failure is missing, or there twice");
    failures
}

/// How many arms [`name`] has.
const NAMES: usize = 20;

fn name(failure: &Failure) -> &'static str {
    match failure {
        Failure::Refused { .. } => "Refused (overloaded)",
        Failure::Unreachable => "Unreachable",
        Failure::TooLate => "TooLate",
        Failure::Internal => "Internal",
        Failure::Invalid(_) => "Invalid",
        Failure::Unauthenticated => "Unauthenticated",
        Failure::ForeignOrigin => "ForeignOrigin",
        Failure::UnknownPath => "UnknownPath",
        Failure::UnknownMethod(_) => "UnknownMethod",
        Failure::AmbiguousCredential => "AmbiguousCredential",
        Failure::ImpossibleCredential => "ImpossibleCredential",
        Failure::BadRefreshToken => "BadRefreshToken",
        Failure::MissingBoundary => "MissingBoundary",
        Failure::InvalidMultipart => "InvalidMultipart",
        Failure::BrokenBody => "BrokenBody",
        Failure::BodyTooLarge => "BodyTooLarge",
        Failure::BodyTooSlow => "BodyTooSlow",
        Failure::EncodedBody => "EncodedBody",
        Failure::UrlTooLong => "UrlTooLong",
        Failure::Foreign(_) => "Foreign",
    }
}
