//! What a failed call means.

use super::*;
use tonic_types::ErrorDetails;

fn refused(reason: &str, domain: &str) -> Failure {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, domain, std::collections::HashMap::new());
    details.add_bad_request_violation("password", "Password is too short");
    details.set_retry_info(Some(Duration::from_secs(2)));
    let status = Status::with_error_details(Code::InvalidArgument, "words for the log", details);
    to_failure(&status, Operation::Register)
}

#[test]
fn a_reason_of_ours_is_read_with_its_details() {
    let violation = Violation {
        field: "password".to_owned(),
        kind: Kind::ValueError,
        description: "Password is too short".to_owned(),
    };
    let details = Details { violations: vec![violation], retry_after: Some(Duration::from_secs(2)) };
    let (reason, operation) = (Reason::PasswordRefused, Operation::Register);
    assert_eq!(refused("PASSWORD_REFUSED", DOMAIN), Failure::Refused { reason, operation, details });
}

#[test]
fn a_reason_of_others_is_a_fault() {
    assert_eq!(refused("PASSWORD_REFUSED", "elsewhere.example"), Failure::Internal);
    assert_eq!(refused("NEWER_THAN_WE", DOMAIN), Failure::Internal);
}

#[test]
fn a_failure_of_the_transport_is_told_by_its_code() {
    for (status, failure) in [
        (Status::unavailable("tcp connect error"), Failure::Unreachable),
        (Status::deadline_exceeded("x"), Failure::TooLate),
        (Status::cancelled("Timeout expired"), Failure::TooLate),
        (Status::unimplemented("x"), Failure::Unreachable),
        (Status::unknown("x"), Failure::Internal),
    ] {
        assert_eq!(to_failure(&status, Operation::Read), failure, "{status}");
    }
}

#[test]
fn a_connection_that_breaks_under_a_call_is_an_identity_service_that_is_away() {
    let broken = Status::from_error(Box::new(std::io::Error::other("connection reset")));
    assert_eq!(broken.code(), Code::Unknown);
    assert_eq!(to_failure(&broken, Operation::LogIn), Failure::Unreachable);
    let late = Status::from_error(Box::new(TimeoutExpired(())));
    assert_eq!((late.code(), late.source().is_some()), (Code::Cancelled, true));
    assert_eq!(to_failure(&late, Operation::LogIn), Failure::TooLate);
}

#[test]
fn a_call_that_only_another_version_knows_never_reached_a_handler() {
    assert!(is_unsent(&Status::unimplemented("x")));
    assert!(!is_unsent(&Status::unavailable("x")) && !is_unsent(&Status::unknown("x")));
}
