//! The routes: one line an endpoint. What is public is visible at a glance.

use std::sync::LazyLock;

use actix_router::ResourceDef;
use actix_web::http::Method;
use actix_web::web;

use crate::endpoints::{
    check, discovery, health, jwks, login, logout, me, recovery, refresh, register as registration, sessions,
    user,
};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// A user who is logged in.
    User,
    /// A superuser who is logged in. Whether he is one, identity-service knows.
    Superuser,
}

/// A method on a path.
#[derive(Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The pattern of the path.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
}

macro_rules! routes {
    ($($method:ident $path:literal $access:ident $handler:path;)*) => {
        /// Every route there is.
        pub const ROUTES: &[Route] = &[$(
            Route { method: Method::$method, path: $path, access: Access::$access },
        )*];

        /// Tells actix-web the routes.
        pub fn register(config: &mut web::ServiceConfig) {
            $(config.route($path, web::method(Method::$method).to($handler));)*
        }
    };
}

routes! {
    POST   "/auth/register"                     Public     registration::register;
    POST   "/auth/jwt/login"                    Public     login::bearer;
    POST   "/auth/cookie/login"                 Public     login::cookie;
    POST   "/auth/jwt/refresh"                  Public     refresh::bearer;
    POST   "/auth/cookie/refresh"               Public     refresh::cookie;
    POST   "/auth/jwt/logout"                   User       logout::bearer;
    POST   "/auth/cookie/logout"                Public     logout::cookie;
    POST   "/auth/forgot-password"              Public     recovery::forgot_password;
    POST   "/auth/reset-password"               Public     recovery::reset_password;
    POST   "/auth/request-verify-token"         Public     recovery::request_verify_token;
    POST   "/auth/verify"                       Public     recovery::verify;
    GET    "/auth/check"                        User       check::read;
    GET    "/users/me"                          User       me::read;
    PATCH  "/users/me"                          User       me::update;
    GET    "/users/me/sessions"                 User       sessions::list_own;
    DELETE "/users/me/sessions"                 User       sessions::end_others;
    DELETE "/users/me/sessions/{id}"            User       sessions::end_own;
    GET    "/users/{id}"                        Superuser  user::read;
    PATCH  "/users/{id}"                        Superuser  user::update;
    DELETE "/users/{id}"                        Superuser  user::delete;
    GET    "/users/{id}/sessions"               Superuser  sessions::list_of_user;
    DELETE "/users/{id}/sessions"               Superuser  sessions::end_of_user;
    GET    "/.well-known/openid-configuration"  Public     discovery::read;
    GET    "/.well-known/jwks.json"             Public     jwks::read;
    GET    "/health/live"                       Public     health::live;
    GET    "/health/ready"                      Public     health::ready;
}

/// The methods that a path has; none if there is no such path.
#[must_use]
pub fn methods_of(path: &str) -> Vec<Method> {
    static PATTERNS: LazyLock<Vec<ResourceDef>> =
        LazyLock::new(|| ROUTES.iter().map(|route| ResourceDef::new(route.path)).collect());
    let mut methods = Vec::new();
    for (route, pattern) in ROUTES.iter().zip(PATTERNS.iter()) {
        if pattern.is_match(path) && !methods.contains(&route.method) {
            methods.push(route.method.clone());
        }
    }
    methods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_of_a_path_are_those_of_all_its_patterns() {
        assert_eq!(methods_of("/users/me"), [Method::GET, Method::PATCH, Method::DELETE]);
        assert_eq!(methods_of("/users/x"), [Method::GET, Method::PATCH, Method::DELETE]);
        assert_eq!(methods_of("/auth/register"), [Method::POST]);
        assert_eq!(methods_of("/users/me/sessions"), [Method::GET, Method::DELETE]);
        assert_eq!(methods_of("/users/me/sessions/x"), [Method::DELETE]);
    }

    #[test]
    fn a_path_that_only_looks_like_one_of_ours_has_no_methods() {
        for path in [
            "/",
            "/users",
            "/users/",
            "/users/me/",
            "/Users/me",
            "//users/me",
            "/auth/register/",
            "/users/me/sessions/",
            "/users/x/sessions/x",
        ] {
            assert!(methods_of(path).is_empty(), "{path}");
        }
    }
}
