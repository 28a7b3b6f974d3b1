//! Calls that no generated client makes: each gets the status that the protocol has for it, in words of ours, and
//! nobody else notices.

use std::time::{Duration, Instant};

use portcullis_proto::v1::{
    CreateSessionRequest, DeleteSessionRequest, DeleteSessionsRequest, DeleteUserRequest, GetSessionRequest,
    GetUserRequest, ListSessionsRequest, ListUsersRequest, UpdateUserRequest, User,
};
use prost_types::FieldMask;

use crate::access::{PUBLIC, methods};
use crate::harness::{Forge, PASSWORD, Reply, Stack, Vigil, Wire, frame, framed, rounds};

/// The call that takes anything: it has no fields and no rights.
const GET_KEYS: &str = "/portcullis.identity.v1.TrustService/GetKeys";
const GET_USER: &str = "/portcullis.identity.v1.UsersService/GetUser";
const LOG_IN: &str = "/portcullis.identity.v1.SessionsService/CreateSession";

/// The largest message; of those about users, which have the operator's own fields, `profile/rpc.rs` knows another.
const CAP: usize = 64 * 1024;
/// The longest that a call takes.
const LIMIT: Duration = Duration::from_secs(5);

const MALFORMED: &str = "InvalidArgument INVALID_REQUEST: The request or a field of it is malformed.";
const UNKNOWN: &str = "Unimplemented: There is no such method, or no such compression.";
const LATE: &str = "DeadlineExceeded DEADLINE_EXCEEDED: The call takes longer than it may.";
const WRONG: &str = "Unauthenticated BAD_CREDENTIALS: The e-mail address or the password is wrong.";

/// All that the caller is told.
fn told(reply: &Reply) -> String {
    match reply.message() {
        "" => reply.outcome(),
        message => format!("{}: {message}", reply.outcome()),
    }
}

/// A field that no message has, with this many bytes in it all told.
fn unknown_field(length: usize) -> Vec<u8> {
    let mut field = vec![0x7a];
    // The length of its content in as many bytes as the largest needs.
    let content = length - 4;
    field.extend([content & 0x7f | 0x80, content >> 7 & 0x7f | 0x80, content >> 14].map(|byte| byte as u8));
    field.resize(length, b' ');
    field
}

/// Unknown fields inside each other: as groups, which a parser enters, and as bytes, which it skips.
fn nested(depth: usize) -> [Vec<u8>; 2] {
    let groups = [[0x7b].repeat(depth), [0x7c].repeat(depth)].concat();
    let bytes = (0..depth).fold(Vec::new(), |inner: Vec<u8>, _| {
        let mut outer = vec![0x7a];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        outer.extend(inner);
        outer
    });
    [groups, bytes]
}

#[tokio::test]
async fn h25_a_message_that_is_none_is_refused_in_our_words() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    let wire = Wire::connect(stack.identity.port).await;
    let message = |bytes: &[u8]| frame(0, bytes.len(), bytes);
    let [groups, bytes] = nested(10_000);
    let cases = [
        ("empty", "", message(b""), "Ok"),
        ("as large as may be", "", message(&unknown_field(CAP)), "Ok"),
        ("one byte larger", "", message(&unknown_field(CAP + 1)), MALFORMED),
        ("said to have 4 GiB", "", frame(0, u32::MAX as usize, b""), MALFORMED),
        ("groups 10,000 deep", "", message(&groups), MALFORMED),
        ("bytes 10,000 deep", "", message(&bytes), "Ok"),
        ("compressed by nothing", "", frame(1, 0, b""), MALFORMED),
        ("compressed by identity", "identity", frame(1, 0, b""), MALFORMED),
        ("compressed by gzip", "gzip", frame(1, 0, b""), UNKNOWN),
        ("not compressed, by gzip", "gzip", message(b""), UNKNOWN),
        ("compressed by a sentence", "guinevere\u{2028}", message(b""), UNKNOWN),
        ("flag 2", "", frame(2, 0, b""), MALFORMED),
        ("flag 255", "", frame(255, 0, b""), MALFORMED),
        ("no frame", "", Vec::new(), MALFORMED),
        ("half a head", "", vec![0, 0, 0], MALFORMED),
        ("a head alone", "", frame(0, 10, b""), MALFORMED),
        ("one byte short", "", frame(0, 10, &unknown_field(9)), MALFORMED),
        ("one byte more", "", [message(b""), vec![0]].concat(), MALFORMED),
        ("wire type 7", "", message(&[0x0f]), MALFORMED),
        ("field 0", "", message(&[0x00, 0x00]), MALFORMED),
        ("a number without end", "", message(&[0xff; 11]), MALFORMED),
        ("a field longer than its message", "", message(&[0x0a, 0x7f, 0x20]), MALFORMED),
        ("an end without a beginning", "", message(&[0x7c]), MALFORMED),
        ("JSON", "", message(b"{\"id\":\"me\"}"), MALFORMED),
    ];
    for (case, compression, body, expected) in cases {
        let metadata = [("grpc-encoding", compression.as_bytes())];
        let metadata = if compression.is_empty() { &[][..] } else { &metadata };
        assert_eq!(told(&wire.call(GET_KEYS, metadata, &body).await), expected, "{case}");
    }
    for text in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"king\x80"] {
        let field = [&[0x0a, text.len() as u8], text].concat();
        assert_eq!(told(&wire.call(GET_USER, &[], &message(&field)).await), MALFORMED, "{text:?}");
        assert_eq!(told(&wire.call(LOG_IN, &[], &message(&field)).await), MALFORMED, "{text:?}");
    }
    vigil.assert_unharmed();
}

#[tokio::test]
async fn h25_only_grpc_and_only_known_methods_are_answered() {
    let stack = Stack::start().await;
    let wire = Wire::connect(stack.identity.port).await;
    for kind in [
        "",
        "application/json",
        "text/plain",
        "application/grpc-web",
        "application/grpc+json",
        "application/grpcx",
        "guinevere",
    ] {
        let reply = wire.call(GET_KEYS, &[("content-type", kind.as_bytes())], &frame(0, 0, b"")).await;
        assert_eq!((told(&reply).as_str(), reply.http), ("Ok(415)", Ok(415)), "{kind}");
    }
    for kind in ["application/grpc", "application/grpc+proto", "application/grpc; charset=utf-8"] {
        let reply = wire.call(GET_KEYS, &[("content-type", kind.as_bytes())], &frame(0, 0, b"")).await;
        assert_eq!(told(&reply), "Ok", "{kind}");
    }
    let long = format!("/{}", "x".repeat(8_000));
    for path in [
        "/",
        "//",
        "/portcullis.identity.v1.TrustService",
        "/portcullis.identity.v1.TrustService/",
        "/portcullis.identity.v1.TrustService/getkeys",
        "/portcullis.identity.v1.TrustService/GetKeys/",
        "/portcullis.identity.v1.UsersService/GetKeys",
        "/portcullis.identity.v2.TrustService/GetKeys",
        "/guinevere.Service/Method",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        &long,
    ] {
        assert_eq!(told(&wire.call(path, &[], &frame(0, 0, b"")).await), UNKNOWN, "{path}");
    }
    let unheard = tonic_health::pb::HealthCheckRequest { service: "guinevere".into() };
    let health = wire.call("/grpc.health.v1.Health/Check", &[], &framed(&unheard)).await;
    assert_eq!(told(&health), "NotFound: There is no such service.");
}

#[tokio::test]
async fn h25_a_call_ends_at_its_deadline_or_at_ours() {
    let stack = Stack::start().await;
    let wire = Wire::connect(stack.identity.port).await;
    let log_in = framed(&CreateSessionRequest {
        email: "king.arthur@camelot.bt".into(),
        password: PASSWORD.into(),
        ..Default::default()
    });
    let within = async |timeout: &str| {
        told(&wire.call(LOG_IN, &[("grpc-timeout", timeout.as_bytes())], &log_in).await)
    };
    assert_eq!(told(&wire.call(LOG_IN, &[], &log_in).await), WRONG);
    for timeout in ["1n", "0S", "1u", "1m", "00000001m", "+1n"] {
        assert_eq!(within(timeout).await, LATE, "{timeout}");
    }
    // 10 years; what is no deadline; more digits than the protocol has.
    for timeout in
        ["87600H", "99999999H", "4S", "4000m", "", "1", "n", "1x", "-1S", "1 n", "1.5S", "000000001n"]
    {
        assert_eq!(within(timeout).await, WRONG, "{timeout}");
    }
    // A message that never comes. It is late at the one deadline, and not at the next, which is far.
    for (metadata, limits) in [
        (&[("grpc-timeout", &b"200m"[..])][..], Duration::from_millis(200)..LIMIT),
        (&[("grpc-timeout", b"87600H")], LIMIT..3 * LIMIT),
    ] {
        let started = Instant::now();
        assert_eq!(told(&wire.stall(GET_KEYS, metadata).await), LATE);
        let took = started.elapsed();
        assert!(limits.contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn h25_streams_beyond_those_allowed_are_refused_and_others_are_served() {
    let stack = Stack::start().await;
    let vigil = Vigil::begin(&stack).await;
    let calls = rounds(1_000, 10_000);
    let (answered, refused) = Wire::flood(stack.identity.port, calls, GET_KEYS).await;
    // 128 wait for a message until they are too late; the rest get REFUSED_STREAM: they may be tried again.
    assert_eq!((answered, refused), (128, [(7, calls as usize - 128)].into()));
    vigil.assert_unharmed();
}

/// A message for a method with which it would act on this user, were the caller a superuser.
fn message_for(method: &str, id: &str) -> Option<Vec<u8>> {
    let id = id.to_owned();
    Some(match method {
        "GetUser" => framed(&GetUserRequest { id }),
        "UpdateUser" => framed(&UpdateUserRequest {
            id,
            user: Some(User { is_superuser: true, ..User::default() }),
            update_mask: Some(FieldMask { paths: vec!["is_superuser".into()] }),
            password: Some("lancelot".into()),
            profile_patch: None,
        }),
        "DeleteUser" => framed(&DeleteUserRequest { id }),
        "ListUsers" => framed(&ListUsersRequest::default()),
        "ListSessions" => framed(&ListSessionsRequest { user_id: id, ..Default::default() }),
        "GetSession" => framed(&GetSessionRequest { id: "current".into() }),
        "DeleteSessions" => framed(&DeleteSessionsRequest { user_id: id }),
        "DeleteSession" => framed(&DeleteSessionRequest { id: "current".into() }),
        public if PUBLIC.contains(&public) => return None,
        other => panic!("{other} is not in this test: add a message for it here"),
    })
}

/// Names and values.
type Metadata = Vec<(&'static str, Vec<u8>)>;

#[tokio::test]
async fn h26_no_metadata_but_one_good_token_say_who_calls() {
    let stack = Stack::start().await;
    let (superuser, token) = stack.superuser("king.arthur@camelot.bt").await;
    let (victim, weak) = stack.user("lancelot.du.lac@camelot.bt").await;
    let other_key = Forge::with_the_real_key(&stack.database).await.with_another_key();
    let forged = other_key.with_claims(&token, serde_json::json!({}));
    let before = stack.database.contents().await;
    let bearer = |token: &str| format!("Bearer {token}").into_bytes();
    let encode = |text: &[u8]| base64::Engine::encode(&base64::prelude::BASE64_STANDARD, text).into_bytes();
    let good = bearer(&token);
    let claims_to_be = [
        "x-user-id",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-remote-user",
        "x-session-id",
        "remote-user",
    ];
    let carried_elsewhere = [
        "x-authorization",
        "proxy-authorization",
        "grpc-metadata-authorization",
        "x-forwarded-access-token",
        "access-token",
    ];
    let mut sent: Vec<(Metadata, &str)> = vec![(Vec::new(), "none")];
    sent.extend(claims_to_be.map(|name| (vec![(name, superuser.clone().into_bytes())], name)));
    sent.extend(carried_elsewhere.map(|name| (vec![(name, good.clone())], name)));
    sent.push((vec![("cookie", format!("fastapiusersauth={token}").into_bytes())], "cookie"));
    sent.push((vec![("authorization-bin", encode(&good))], "binary"));
    for (values, what) in [
        (vec![good.clone(), good.clone()], "twice"),
        (vec![good.clone(), bearer(&weak)], "two users"),
        (vec![[&good[..], b", ", &good].concat()], "a list"),
        (vec![[b"Basic ", &encode(b"king.arthur@camelot.bt:guinevere")[..]].concat()], "Basic"),
        (vec![[b"Basic ", token.as_bytes()].concat()], "Basic with the token"),
        (vec![token.clone().into_bytes()], "no scheme"),
        (vec![format!("Bearer{token}").into_bytes()], "no space"),
        (vec![format!("Bearer\t{token}").into_bytes()], "a tab"),
        (vec![format!("Bearer Bearer {token}").into_bytes()], "two schemes"),
        (vec![bearer(&token.to_uppercase())], "upper case"),
        (vec![bearer(&token.to_lowercase())], "lower case"),
        (vec![bearer(&format!("{token}x"))], "a byte more"),
        (vec![bearer(&format!("\"{token}\""))], "quoted"),
        (vec![[&good[..], b"\xff"].concat()], "not ASCII"),
        (vec![bearer("")], "empty"),
        (vec![Vec::new()], "nothing"),
        (vec![bearer(&forged)], "another key"),
    ] {
        sent.push((values.into_iter().map(|value| ("authorization", value)).collect(), what));
    }
    let wire = Wire::connect(stack.identity.port).await;
    let mut protected = 0;
    for (service, method) in methods() {
        let Some(message) = message_for(&method, &victim) else { continue };
        let path = format!("/portcullis.identity.v1.{service}/{method}");
        protected += 1;
        for (metadata, what) in &sent {
            let metadata: Vec<_> = metadata.iter().map(|(name, value)| (*name, &value[..])).collect();
            let outcome = wire.call(&path, &metadata, &message).await.outcome();
            assert_eq!(outcome, "Unauthenticated UNAUTHENTICATED", "{method}: {what}");
        }
        if !["GetSession", "DeleteSession"].contains(&method.as_str()) {
            for name in claims_to_be {
                let (weak, superuser) = (bearer(&weak), superuser.as_bytes());
                let metadata = [("authorization", &weak[..]), (name, superuser)];
                let outcome = wire.call(&path, &metadata, &message).await.outcome();
                assert_eq!(outcome, "PermissionDenied SUPERUSER_REQUIRED", "{method}: {name}");
            }
        }
    }
    assert!(protected >= 5, "the .proto files were not read");
    assert_eq!(stack.database.contents().await, before);
    let served =
        wire.call(GET_USER, &[("authorization", &good)], &framed(&GetUserRequest { id: victim })).await;
    assert_eq!(served.outcome(), "Ok", "the token is good");
}
