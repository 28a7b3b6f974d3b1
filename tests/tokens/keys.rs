//! The signing keys in the database: a row that is not what identity-service writes stops its start, so that nobody is
//! believed who only can write to the database.

use std::time::Duration;

use identity_service::trust::keys::model::thumbprint;
use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::harness::{Database, Doors, Forge, Process, Stack};

/// A row of the table `signing_keys`.
struct Row<'a> {
    kid: &'a str,
    public_key: &'a [u8],
    sealed: &'a [u8],
}

impl Row<'_> {
    async fn insert(&self, database: &Database) -> Result<u64, tokio_postgres::Error> {
        let sql = "INSERT INTO signing_keys (kid, public_key, sealed_private_key, state) VALUES ($1, $2, $3, 'retired')";
        database.connect().await.execute(sql, &[&self.kid, &self.public_key, &self.sealed]).await
    }
}

/// Starts identity-service again, which must end with one line that says `why`.
async fn does_not_start(identity: &mut Process, why: &str) {
    identity.kill();
    identity.restart();
    let status = identity.wait(Duration::from_secs(10)).await.expect("it ends");
    assert_eq!(status.code(), Some(1), "{why}");
    let log = identity.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.starts_with("identity-service: ") && last.contains(why), "not {why}: {last}");
}

#[tokio::test]
async fn j04_a_key_whose_halves_do_not_belong_together_stops_the_start() {
    let (mut stack, _, token, real) = Doors::with_forge().await;
    let other = real.with_another_key();
    // Under a point of small order everybody can sign: these are the neutral element, the one of order 2, and one of
    // order 8 (RFC 7748 section 7, in the coordinates of RFC 8032).
    let point = |hex: &str| -> Vec<u8> {
        (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    let neutral = point("0100000000000000000000000000000000000000000000000000000000000000");
    let order_2 = point("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    let order_8 = point("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
    for public_key in [neutral, order_2, order_8, real.with_another_key().public_key().to_vec()] {
        let kid = thumbprint(&public_key.clone().try_into().unwrap());
        // As somebody would who can write to the database, and as one who knows the key-encryption key as well.
        for (sealed, why) in [
            (b"nothing sealed".to_vec(), "KEY_ENCRYPTION_KEY is not the key that the signing key"),
            (other.sealed_as(&kid), "has a public half that is not that of its private half"),
        ] {
            Row { kid: &kid, public_key: &public_key, sealed: &sealed }
                .insert(&stack.database)
                .await
                .unwrap();
            does_not_start(&mut stack.identity, why).await;
            assert!(stack.identity.log().lines().last().unwrap().contains(&kid));
            stack
                .database
                .connect()
                .await
                .execute("DELETE FROM signing_keys WHERE kid = $1", &[&kid])
                .await
                .unwrap();
        }
    }
    // A whole key under its own id is believed.
    let (public_key, kid) = (other.public_key(), thumbprint(&other.public_key()));
    let whole = Row { kid: &kid, public_key: &public_key, sealed: &other.sealed_as(&kid) };
    whole.insert(&stack.database).await.unwrap();
    stack.identity.restart();
    stack.identity.until_serving().await;
    let http = stack.http();
    let is_served = async || http.bare("GET", "/users/me", &token).await.status == 200;
    stack.gateway.until("connected again", Duration::from_secs(20), is_served).await;
    let of_new_key = other.with_header(&token, json!({"kid": kid}));
    let is_served = async || http.bare("GET", "/users/me", &of_new_key).await.status == 200;
    stack.gateway.until("told of the key", Duration::from_secs(2), is_served).await;
    assert!(Doors::of(&stack).await.believe(&of_new_key).await);
}

#[tokio::test]
async fn j05_no_two_keys_have_one_id_and_none_has_a_foreign_one() {
    let mut stack = Stack::start().await;
    let real = Forge::with_the_real_key(&stack.database).await;
    let other = real.with_another_key();
    let (kid, public_key) = (thumbprint(&real.public_key()), other.public_key());
    assert_eq!(real.header()["kid"], kid.as_str());
    let same = Row { kid: &kid, public_key: &public_key, sealed: &other.sealed_as(&kid) };
    let refused = same.insert(&stack.database).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::UNIQUE_VIOLATION));
    for kid in ["", "k", &kid.to_lowercase(), &thumbprint(&[7; 32])] {
        let foreign = Row { kid, public_key: &public_key, sealed: &other.sealed_as(kid) };
        foreign.insert(&stack.database).await.unwrap();
        does_not_start(&mut stack.identity, "has an id that is not the thumbprint of its public key").await;
        stack
            .database
            .connect()
            .await
            .execute("DELETE FROM signing_keys WHERE kid = $1", &[&kid])
            .await
            .unwrap();
    }
    stack.identity.restart();
    stack.identity.until_serving().await;
}
