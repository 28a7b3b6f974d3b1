//! The making of access tokens (RFC 9068).

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, Header};
use portcullis_proto::access_token::{AUDIENCE, Claims, TYPE};
use uuid::Uuid;

use super::model::Grant;
use crate::error::{Error, Result};
use crate::trust::keys::KeySet;

/// Signs an access token with the current key of these.
///
/// # Errors
/// [`Error::Internal`] when the signature cannot be made.
pub(super) fn sign(issuer: &str, keys: &KeySet, grant: &Grant) -> Result<String> {
    let (key, kid) = keys.signing_key();
    let header =
        Header { typ: Some(TYPE.to_owned()), kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    let claims = Claims {
        iss: issuer.to_owned(),
        aud: vec![AUDIENCE.to_owned()],
        sub: grant.user.as_uuid(),
        sid: grant.session.as_uuid(),
        epoch: grant.epoch,
        iat: seconds(grant.issued_at),
        exp: seconds(grant.expires_at),
        jti: Uuid::new_v4(),
    };
    jsonwebtoken::encode(&header, &claims, key).map_err(|error| Error::Internal(error.into()))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
