//! The two doors at which an access token can be shown: the gateway over HTTP, identity-service over gRPC.

use portcullis_proto::v1::GetUserRequest;

use super::{Forge, Http, Rpc, Stack, outcome, with_token};

/// Both doors of a stack.
pub struct Doors {
    pub http: Http,
    pub rpc: Rpc,
}

impl Doors {
    /// Whose token [`Doors::with_forge`] gives.
    pub const EMAIL: &str = "king.arthur@camelot.bt";

    pub async fn of(stack: &Stack) -> Self {
        Self { http: stack.http(), rpc: stack.rpc().await }
    }

    /// A stack, its doors, a good token, and who can sign as the issuer does.
    pub async fn with_forge() -> (Stack, Self, String, Forge) {
        let stack = Stack::start().await;
        let (_, token) = stack.user(Self::EMAIL).await;
        let (doors, forge) = (Self::of(&stack).await, Forge::with_the_real_key(&stack.database).await);
        (stack, doors, token, forge)
    }

    /// Whether the gateway and identity-service say that a token names a user; if not, in the contract's words.
    pub async fn say(&mut self, token: &str) -> [bool; 2] {
        let http = self.http.bare("GET", "/users/me", token).await;
        let me = GetUserRequest { id: "me".into() };
        let rpc = outcome(&self.rpc.users.get_user(with_token(me, token)).await);
        let refusal = (r#"401 {"detail":"Unauthorized"}"#, "Bearer");
        let believed = http.status == 200;
        assert!(believed || (http.short().as_str(), http.header("www-authenticate")) == refusal, "{http:?}");
        assert!(["OK", "Unauthenticated UNAUTHENTICATED"].contains(&rpc.as_str()), "{rpc}");
        [believed, rpc == "OK"]
    }

    /// Whether a token names a user, as both say alike.
    pub async fn believe(&mut self, token: &str) -> bool {
        let [http, rpc] = self.say(token).await;
        assert_eq!(http, rpc, "the gateway and identity-service disagree");
        http
    }

    /// Fails unless the good token is believed, and after it none of the others; each says by its name what it is.
    pub async fn believe_only<N: std::fmt::Debug>(
        &mut self,
        good: &str,
        others: impl IntoIterator<Item = (N, String)>,
    ) {
        assert!(self.believe(good).await);
        for (name, token) in others {
            assert!(!self.believe(&token).await, "{name:?}: {token}");
        }
        assert!(self.believe(good).await);
    }
}
