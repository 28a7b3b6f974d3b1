//! `TrustService`, and who the caller of any other service is.

use std::sync::Arc;
use std::time::SystemTime;

use portcullis_proto::v1::trust_service_server::{TrustService, TrustServiceServer};
use portcullis_proto::{bearer, v1};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::Trust;
use super::model::{KeyState, PublicKey};
use crate::error::{Error, Result};
use crate::sessions::last_seen::LastSeen;
use crate::sessions::model::Caller;

/// The service over these keys.
pub fn service(trust: Arc<Trust>) -> TrustServiceServer<impl TrustService> {
    TrustServiceServer::new(Service { trust })
}

struct Service {
    trust: Arc<Trust>,
}

#[tonic::async_trait]
impl TrustService for Service {
    async fn get_keys(
        &self,
        _request: Request<v1::GetKeysRequest>,
    ) -> Result<Response<v1::GetKeysResponse>, Status> {
        let keys = self.trust.keys().iter().map(to_public_key).collect();
        Ok(Response::new(v1::GetKeysResponse { issuer: self.trust.issuer().to_owned(), keys }))
    }
}

/// Who calls, by the access token in the `authorization` metadata: what the other services share.
#[derive(Clone)]
pub struct Callers {
    trust: Arc<Trust>,
    last_seen: LastSeen,
}

impl Callers {
    /// Callers who are believed by these keys; when each was last seen is noted.
    #[must_use]
    pub fn new(trust: Arc<Trust>, last_seen: LastSeen) -> Self {
        Self { trust, last_seen }
    }

    /// The caller of this request.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]: no token, two, or one that is not believed.
    pub fn of<T>(&self, request: &Request<T>) -> Result<Caller> {
        let values = request.metadata().get_all("authorization").iter().map(MetadataValue::as_encoded_bytes);
        let token = bearer::token(values).map_err(Error::unauthenticated)?;
        let token = token
            .ok_or_else(|| Error::unauthenticated("there is no authorization of the form Bearer TOKEN"))?;
        let now = SystemTime::now();
        let caller = self.trust.verify(now, token)?;
        self.last_seen.note(now, caller.session);
        Ok(caller)
    }
}

fn to_public_key(key: &PublicKey) -> v1::PublicKey {
    v1::PublicKey {
        kid: key.kid.clone(),
        ed25519_public_key: key.public_key.to_vec(),
        state: to_key_state(key.state).into(),
        create_time: Some(key.created_at.into()),
    }
}

fn to_key_state(state: KeyState) -> v1::KeyState {
    match state {
        KeyState::Next => v1::KeyState::Next,
        KeyState::Current => v1::KeyState::Current,
        KeyState::Retired => v1::KeyState::Retired,
    }
}
