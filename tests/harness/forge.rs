//! Tokens as a thief of the signing key would make them, to show what each check refuses.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Database, IDENTITY};

/// Signs whatever it is asked to.
pub struct Forge {
    key: Ed25519KeyPair,
    kid: String,
}

impl Forge {
    /// With the current signing key of this database, opened as the migration's comment on the column says.
    pub async fn with_the_real_key(database: &Database) -> Self {
        let sql = "SELECT kid, sealed_private_key FROM signing_keys WHERE state = 'current'";
        let rows = database.rows(sql, &[]).await;
        let (kid, sealed): (String, Vec<u8>) = (rows[0].get(0), rows[0].get(1));
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().expect("begins with a nonce");
        let kek = IDENTITY.iter().find(|(name, _)| *name == "KEY_ENCRYPTION_KEY").expect("is set").1;
        let kek = STANDARD.decode(kek).expect("is base64");
        let kek = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &kek).expect("has 32 bytes"));
        let mut private = sealed.to_vec();
        let private = kek
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(&kid), &mut private)
            .expect("was sealed with this key");
        Self { key: Ed25519KeyPair::from_pkcs8(private).expect("is a key"), kid }
    }

    /// With a key of the thief's own, under the id of the real one.
    pub fn with_another_key(&self) -> Self {
        Self { key: Ed25519KeyPair::generate().expect("there is randomness"), kid: self.kid.clone() }
    }

    /// The token with some claims changed; `null` takes a claim away.
    pub fn with_claims(&self, token: &str, changes: Value) -> String {
        self.sign(
            &json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.kid}),
            &changed(claims(token), changes),
        )
    }

    /// A token with this header and these claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// What a token says.
pub fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("a token has three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("is base64url")).expect("is JSON")
}

fn changed(mut claims: Value, changes: Value) -> Value {
    let object = claims.as_object_mut().expect("claims are an object");
    for (name, value) in changes.as_object().expect("changes are an object") {
        match value {
            Value::Null => object.remove(name),
            value => object.insert(name.clone(), value.clone()),
        };
    }
    claims
}
