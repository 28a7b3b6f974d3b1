//! How the process stops without failing a request. Once asked to, it is not ready any more, and goes on serving until
//! whoever sends requests has noticed; meanwhile each answer is the last of its connection, so that the next request of
//! its client opens one elsewhere. Only then does it accept no more, and finish what has begun. A connection on which
//! nothing came meanwhile is closed then, and what its client sends at that moment is lost: no server can prevent that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ResponseHead, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::{Error, web};

/// Whether the process was asked to stop.
#[derive(Debug, Default)]
pub struct Drain(AtomicBool);

impl Drain {
    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Resolves when the process may stop to accept: `delay` after `shutdown`, or when it is to `hurry`.
    pub async fn after(
        &self,
        shutdown: impl Future<Output = ()>,
        delay: Duration,
        hurry: impl Future<Output = ()>,
    ) {
        shutdown.await;
        self.0.store(true, Ordering::Relaxed);
        let wait = async {
            tracing::info!(seconds = delay.as_secs(), "not ready any more, and still serving");
            tokio::time::sleep(delay).await;
        };
        // In this order: whoever has read that may hurry us.
        tokio::select! { biased; () = hurry => {}, () = wait => {} }
        tracing::info!("stopping: finishing what has begun");
    }
}

/// Ends the connection after this answer, once the process was asked to stop (RFC 9112 section 9.6).
///
/// # Errors
/// Those of the request.
pub async fn last_answer<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let drain = request.app_data::<web::Data<Drain>>().cloned();
    let end = |head: &mut ResponseHead| {
        if drain.is_some_and(|drain| drain.has_begun()) {
            head.set_connection_type(ConnectionType::Close);
        }
    };
    match next.call(request).await {
        Ok(mut response) => {
            end(response.response_mut().head_mut());
            Ok(response)
        }
        Err(error) => {
            let mut response = error.error_response();
            end(response.head_mut());
            Err(InternalError::from_response(error, response).into())
        }
    }
}
