//! The end of a body that nobody reads to its end.
//!
//! actix-web reads on for ever, without a limit or a timer, when a chunked body is dropped before its end; when it is
//! still held while the answer is sent, it closes the connection after the answer and gives the client a second to
//! read it.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage as _};
use futures_util::{StreamExt as _, stream};

/// Closes the connection after an answer that is given before the request's body is read to its end.
///
/// # Errors
/// Those of the request.
pub async fn end_of_body<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let payload = request.take_payload();
    if matches!(payload, Payload::None) {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    }
    let payload = Rc::new(RefCell::new(payload));
    let read = Rc::clone(&payload);
    let reader = stream::poll_fn(move |context| read.borrow_mut().poll_next_unpin(context));
    request.set_payload(Payload::Stream { payload: Box::pin(reader) });
    match next.call(request).await {
        Ok(response) => Ok(response
            .map_body(|_, answer| BoxBody::new(Holding { answer: answer.boxed(), _payload: payload }))),
        Err(error) => {
            let response = error.error_response();
            let response = response.map_body(|_, answer| BoxBody::new(Holding { answer, _payload: payload }));
            Err(InternalError::from_response(error, response).into())
        }
    }
}

/// The body of an answer that keeps the body of the request.
struct Holding {
    answer: BoxBody,
    _payload: Rc<RefCell<Payload>>,
}

impl MessageBody for Holding {
    type Error = Box<dyn StdError>;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().answer).poll_next(context)
    }
}
