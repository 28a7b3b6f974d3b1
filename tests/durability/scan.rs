//! The scan that follows each fault: it finds what is planted for it.

use crate::harness::{Acked, PASSWORD, Stack, scan};

#[tokio::test]
async fn f01_control_the_scan_finds_what_is_lost_doubled_without_credential_or_left_open() {
    let stack = Stack::start().await;
    let mut acked = Vec::new();
    for name in ["arthur", "lancelot", "merlin"] {
        let email = format!("{name}@camelot.bt");
        acked.push(Acked { id: stack.register(&email).await, email });
    }
    let found = async || scan(&stack.database, &acked).await;
    assert_eq!(found().await, [""; 0]);

    let mut database = stack.database.connect().await;
    let open = database.transaction().await.unwrap();
    open.execute("UPDATE users SET is_verified = true", &[]).await.unwrap();
    assert_eq!(found().await, ["idle in a transaction: UPDATE users SET is_verified = true"]);
    open.rollback().await.unwrap();

    // As if the index were missing, and a registration were repeated with another id.
    let sabotage = "ALTER TABLE users DROP CONSTRAINT users_email_canonical_key;
        DELETE FROM users WHERE email = 'merlin@camelot.bt';
        UPDATE users SET password_hash = '' WHERE email = 'lancelot@camelot.bt'";
    database.batch_execute(sabotage).await.unwrap();
    let twin = stack.http().register("Arthur@camelot.bt", PASSWORD).await;
    assert_eq!(twin.status, 400, "the look-up before the hash still sees the other: {twin:?}");
    let twin = "INSERT INTO users (id, email, email_canonical, password_scheme, password_hash)
        SELECT gen_random_uuid(), 'Arthur@camelot.bt', email_canonical, password_scheme, password_hash
        FROM users WHERE email = 'arthur@camelot.bt'";
    database.batch_execute(twin).await.unwrap();
    let found = found().await;
    for what in ["lost: merlin@camelot.bt", "lancelot@camelot.bt has no credential", " belongs to "] {
        assert!(found.iter().any(|wrong| wrong.contains(what)), "{what}: {found:?}");
    }
    assert_eq!(found.len(), 3, "{found:?}");
}
