//! Tokens as a thief of the signing key would make them, to show what each check refuses.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
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
        let mut private = sealed.to_vec();
        let private = key_encryption_key()
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(&kid), &mut private)
            .expect("was sealed with this key");
        Self { key: Ed25519KeyPair::from_pkcs8(private).expect("is a key"), kid }
    }

    /// With a key of the thief's own, under the id of the real one.
    pub fn with_another_key(&self) -> Self {
        Self { key: Ed25519KeyPair::generate().expect("there is randomness"), kid: self.kid.clone() }
    }

    /// The public half of the key.
    pub fn public_key(&self) -> [u8; 32] {
        self.key.public_key().as_ref().try_into().expect("has 32 bytes (RFC 8032)")
    }

    /// The private half, sealed as the one of the key with this id.
    pub fn sealed_as(&self, kid: &str) -> Vec<u8> {
        let nonce = [7; NONCE_LEN];
        let mut sealed = self.key.to_pkcs8().expect("is a key").as_ref().to_vec();
        key_encryption_key()
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(kid), &mut sealed)
            .expect("is short");
        [nonce.as_slice(), &sealed].concat()
    }

    /// The header that our tokens have.
    pub fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.kid})
    }

    /// The token with some names of the header changed; `null` takes a name away.
    pub fn with_header(&self, token: &str, changes: Value) -> String {
        self.sign(&changed(self.header(), changes), &claims(token))
    }

    /// The token with some claims changed; `null` takes a claim away.
    pub fn with_claims(&self, token: &str, changes: Value) -> String {
        self.sign(&self.header(), &changed(claims(token), changes))
    }

    /// A token with this header and these claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_bytes(header.to_string(), claims.to_string())
    }

    /// A token with these bytes where header and claims should be.
    pub fn sign_bytes(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        jws(header, claims, |signed| self.key.sign(signed).as_ref().to_vec())
    }
}

/// A JWS (RFC 7515 section 3.1) with this signature.
pub fn jws(
    header: impl AsRef<[u8]>,
    payload: impl AsRef<[u8]>,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn key_encryption_key() -> LessSafeKey {
    let kek = IDENTITY.iter().find(|(name, _)| *name == "KEY_ENCRYPTION_KEY").expect("is set").1;
    let kek = STANDARD.decode(kek).expect("is base64");
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &kek).expect("has 32 bytes"))
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
