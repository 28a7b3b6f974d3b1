//! How often an address is mailed.

use super::{EMAIL, Purpose, settled};
use crate::harness::Stack;

#[tokio::test]
async fn an_address_gets_three_mails_with_a_token_an_hour_and_every_request_the_same_answer() {
    let stack = Stack::with(&[("MAILS_PER_HOUR", "3")], &[]).await;
    let (http, mails) = (stack.http(), stack.mailbox());
    let (_, superuser) = stack.superuser("merlin@camelot.bt").await;
    let id = stack.register(EMAIL).await;
    for number in 0..10 {
        let spelling = if number % 2 == 0 { EMAIL.to_owned() } else { EMAIL.to_uppercase() };
        Purpose::BOTH[number % 2].ask(&http, &spelling).await;
    }
    assert_eq!(settled(&stack, &mails, EMAIL).await.len(), 3);
    // Another user of the same address is not another address.
    assert_eq!(http.bare("DELETE", &format!("/users/{id}"), &superuser).await.status, 204);
    stack.register(EMAIL).await;
    Purpose::Reset.ask(&http, EMAIL).await;
    assert_eq!(settled(&stack, &mails, EMAIL).await.len(), 3);
    // An hour later there is room again, and others are not held to it.
    stack.database.rows("UPDATE mails SET created_at = created_at - interval '61 minutes', sent_at = sent_at - interval '61 minutes'", &[]).await;
    Purpose::Reset.ask(&http, EMAIL).await;
    Purpose::Reset.ask(&http, "merlin@camelot.bt").await;
    assert_eq!(settled(&stack, &mails, EMAIL).await.len(), 4);
    assert_eq!(mails.to("merlin@camelot.bt").len(), 1);
}
