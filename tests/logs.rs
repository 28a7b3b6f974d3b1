//! What is logged. That no log has a secret, every test shows when it ends (`Process::assert_no_secret_is_logged`); here
//! the libraries tell all they have to tell, too.

use serde_json::json;

use crate::harness::{PASSWORD, Stack};

#[tokio::test]
async fn no_secret_is_logged_even_when_everything_is() {
    let everything = [("LOG", "trace")];
    let stack = Stack::with(&everything, &everything).await;
    let (_, token) = stack.user("king.arthur@camelot.bt").await;
    let http = stack.http();
    assert_eq!(http.log_in_for_cookie("king.arthur@camelot.bt", PASSWORD).await.status, 204);
    let changes = json!({"email": "arthur@camelot.bt", "password": "lancelot"});
    assert_eq!(http.json("PATCH", "/users/me", &token, changes).await.status, 200);
    assert_eq!(http.log_in("arthur@camelot.bt", PASSWORD).await.status, 400);
    assert_eq!(http.bare("POST", "/auth/jwt/logout", &token).await.status, 204);
    for process in [&stack.gateway, &stack.identity] {
        assert!(process.log().contains("TRACE"), "it tells less than all: {}", process.log());
        process.assert_no_secret_is_logged();
    }
}
