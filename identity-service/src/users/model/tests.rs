use super::*;

fn arthur() -> UserState {
    let user = User {
        id: UserId::new(),
        email: "King.Arthur@camelot.bt".into(),
        is_active: true,
        is_superuser: false,
        is_verified: true,
        created_at: SystemTime::UNIX_EPOCH,
        updated_at: SystemTime::UNIX_EPOCH,
        profile: Profile::default(),
    };
    UserState { user, email_canonical: "king.arthur@camelot.bt".into(), epoch: 1 }
}

fn email(text: &str) -> Option<Email> {
    Some(Email::parse(text).unwrap())
}

fn password() -> Option<Password> {
    Some(Password::new("guinevere".into()).unwrap())
}

#[test]
fn only_where_it_is_required_an_unverified_user_is_stopped() {
    assert!(matches!(Verification::Required.check(false), Err(Error::EmailNotVerified)));
    assert!(Verification::Required.check(true).is_ok());
    assert!(Verification::Optional.check(false).is_ok());
}

#[test]
fn a_registration_is_the_same_only_with_both_id_and_address() {
    let password = || StoredPassword { scheme: "v1".into(), pepper_version: 1, hash: String::new() };
    let registered =
        |UserState { user, email_canonical, .. }| Registered { user, email_canonical, password: password() };
    let (arthur, other) = (arthur(), arthur());
    let (id, email) = (arthur.user.id, "king.arthur@camelot.bt");
    let outcome = |found: &[&UserState], id, email| {
        let found = found.iter().map(|state| registered((*state).clone())).collect();
        same_registration(found, id, email).map(|earlier| earlier.map(|earlier| earlier.user.id))
    };
    assert!(matches!(outcome(&[], id, email), Ok(None)));
    assert!(matches!(outcome(&[&arthur], id, email), Ok(Some(found)) if found == id));
    assert!(matches!(outcome(&[&arthur], other.user.id, email), Err(Error::EmailTaken)));
    assert!(matches!(outcome(&[&arthur], id, "lancelot@camelot.bt"), Err(Error::UserIdTaken)));
    assert!(matches!(outcome(&[&other, &arthur], other.user.id, "x@camelot.bt"), Err(Error::UserIdTaken)));
}

#[test]
fn a_user_who_changes_his_password_or_address_keeps_his_session_and_loses_the_others() {
    let by_password = Changes { password: password(), ..Changes::default() };
    let by_email = Changes { email: email("arthur@camelot.bt"), ..Changes::default() };
    assert_eq!(by_password.ends(&arthur(), true), Ends::OtherSessions);
    assert_eq!(by_email.ends(&arthur(), true), Ends::OtherSessions);
}

#[test]
fn a_password_set_by_a_superuser_and_a_deactivation_end_everything() {
    let password = Changes { password: password(), ..Changes::default() };
    let deactivation = Changes { is_active: Some(false), ..Changes::default() };
    assert_eq!(password.ends(&arthur(), false), Ends::Everything);
    assert_eq!(deactivation.ends(&arthur(), false), Ends::Everything);
}

#[test]
fn nothing_else_ends_a_session() {
    let spelling = Changes { email: email("king.arthur@CAMELOT.bt"), ..Changes::default() };
    let flags = Changes {
        is_active: Some(true),
        is_superuser: Some(true),
        is_verified: Some(false),
        ..Changes::default()
    };
    let moved_by_superuser = Changes { email: email("arthur@camelot.bt"), ..Changes::default() };
    assert_eq!(spelling.ends(&arthur(), true), Ends::Nothing);
    assert_eq!(flags.ends(&arthur(), false), Ends::Nothing);
    assert_eq!(moved_by_superuser.ends(&arthur(), false), Ends::Nothing);
    assert_eq!(Changes::default().ends(&arthur(), true), Ends::Nothing);
}

#[test]
fn a_new_address_is_unverified_unless_a_superuser_says_otherwise_and_a_new_spelling_stays_verified() {
    let moved = Changes { email: email("arthur@camelot.bt"), ..Changes::default() };
    let vouched = Changes { is_verified: Some(true), ..moved.clone() };
    let spelling = Changes { email: email("KING.arthur@camelot.bt"), ..Changes::default() };
    assert!(!moved.verified_after(&arthur()));
    assert!(vouched.verified_after(&arthur()));
    assert!(spelling.verified_after(&arthur()));
    assert!(Changes::default().verified_after(&arthur()));
}
