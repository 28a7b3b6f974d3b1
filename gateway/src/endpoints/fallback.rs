//! What is answered where no route is: 405 with all methods of the path, else 404.

use actix_web::{HttpRequest, HttpResponse};

use crate::failure::Failure;
use crate::routes::methods_of;

/// Refuses.
///
/// # Errors
/// Always.
pub async fn answer(request: HttpRequest) -> Result<HttpResponse, Failure> {
    let methods = methods_of(request.match_info().as_str());
    Err(if methods.is_empty() { Failure::UnknownPath } else { Failure::UnknownMethod(methods) })
}
