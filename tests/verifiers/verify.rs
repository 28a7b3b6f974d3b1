use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::Client;
use serde::Deserialize;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Verifies access tokens with the keys of their issuer.
pub struct Verifier {
    client: Client,
    metadata: Metadata,
    keys: JwkSet,
    fetched_at: Instant,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// What an access token says. A token without one of these is refused.
#[derive(Deserialize)]
pub struct Claims {
    pub sub: String,
    pub sid: String,
    pub iat: u64,
}

impl Verifier {
    pub async fn of(issuer: &str) -> Result<Self> {
        let client = Client::builder().timeout(Duration::from_secs(5)).build()?;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let metadata: Metadata = client.get(url).send().await?.error_for_status()?.json().await?;
        if metadata.issuer != issuer {
            return Err("that is another issuer".into());
        }
        let keys = fetch(&client, &metadata.jwks_uri).await?;
        Ok(Self { client, metadata, keys, fetched_at: Instant::now() })
    }

    pub async fn verify(&mut self, token: &str) -> Result<Claims> {
        let header = decode_header(token)?;
        let kid = header.kid.filter(|_| header.typ.as_deref() == Some("at+jwt"));
        let kid = kid.ok_or("not an access token")?;
        // Keys are good for five minutes. One that is not known is looked for, but not for each token with nonsense.
        let age = self.fetched_at.elapsed().as_secs();
        if age >= 300 || (age >= 30 && self.keys.find(&kid).is_none()) {
            self.keys = fetch(&self.client, &self.metadata.jwks_uri).await?;
            self.fetched_at = Instant::now();
        }
        let key = DecodingKey::from_jwk(self.keys.find(&kid).ok_or("the key is not known")?)?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.leeway = 5;
        rules.set_issuer(&[&self.metadata.issuer]);
        rules.set_audience(&["fastapi-users:auth"]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Ok(decode(token, &key, &rules)?.claims)
    }
}

async fn fetch(client: &Client, url: &str) -> Result<JwkSet> {
    Ok(client.get(url).send().await?.error_for_status()?.json().await?)
}
