//! `UsersService`: parse, call, render.

use std::time::SystemTime;

use portcullis_proto::email::Email;
use portcullis_proto::new_user_id;
use portcullis_proto::own_fields;
use portcullis_proto::v1;
use portcullis_proto::v1::users_service_server::{UsersService, UsersServiceServer};
use prost::Message as _;
use serde_json::{Map, Value};
use tonic::{Request, Response, Status};

use super::model::{Changes, Listed, Target, User, UserState};
use super::profile::{OwnFields, Setter};
use super::{Registration, Users};
use crate::credentials::Password;
use crate::error::{Error, Result, Violation};
use crate::ids::{UserId, parse_uuid};
use crate::page::Page;
use crate::trust::grpc::Callers;

/// The largest page, in bytes: many clients read no message of more than 4 MiB.
const MAX_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// The service over these users.
pub fn service(users: Users, callers: Callers) -> UsersServiceServer<impl UsersService> {
    UsersServiceServer::new(Service { users, callers })
}

struct Service {
    users: Users,
    callers: Callers,
}

#[tonic::async_trait]
impl UsersService for Service {
    async fn create_user(
        &self,
        request: Request<v1::CreateUserRequest>,
    ) -> Result<Response<v1::User>, Status> {
        let (own_fields, now) = (self.users.own_fields(), self.callers.now());
        let registration = parse_registration(own_fields, now, request.into_inner())?;
        let user = self.users.register(registration).await?;
        Ok(Response::new(to_user(self.users.own_fields(), &user)))
    }

    async fn get_user(&self, request: Request<v1::GetUserRequest>) -> Result<Response<v1::User>, Status> {
        let caller = self.callers.of(&request).await?;
        let user = self.users.get(&caller, parse_target(&request.get_ref().id)).await?;
        Ok(Response::new(to_user(self.users.own_fields(), &user)))
    }

    async fn update_user(
        &self,
        request: Request<v1::UpdateUserRequest>,
    ) -> Result<Response<v1::User>, Status> {
        let caller = self.callers.of(&request).await?;
        let request = request.into_inner();
        let target = parse_target(&request.id);
        let own_fields = self.users.own_fields();
        let changes = |before: &UserState| parse_changes(own_fields, before, target, request);
        let user = self.users.update(caller, target, changes).await?;
        Ok(Response::new(to_user(self.users.own_fields(), &user)))
    }

    async fn delete_user(&self, request: Request<v1::DeleteUserRequest>) -> Result<Response<()>, Status> {
        let caller = self.callers.of(&request).await?;
        let id = parse_uuid(&request.get_ref().id).map(UserId::from);
        self.users.delete(caller, id).await?;
        Ok(Response::new(()))
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        let caller = self.callers.of(&request).await?;
        let v1::ListUsersRequest { page_size, page_token } = request.get_ref();
        let Listed { users, next } = self.users.list(&caller, || Page::parse(*page_size, page_token)).await?;
        let users = users.iter().map(|user| to_user(self.users.own_fields(), user)).collect();
        let next = next.map(|after| after.as_uuid().to_string()).unwrap_or_default();
        Ok(Response::new(cut(users, next)))
    }
}

/// A page that its caller can read, however much the own fields of its users hold: as many users as have room, and one at
/// least. `next` asks for what comes after all of them.
fn cut(mut users: Vec<v1::User>, next: String) -> v1::ListUsersResponse {
    let mut length = 0;
    let fitting = users.iter().take_while(|user| {
        length += user.encoded_len();
        length <= MAX_PAGE_BYTES
    });
    let fitting = fitting.count().max(1);
    let is_whole = fitting >= users.len();
    users.truncate(fitting);
    let last = users.last().map(|user| user.id.clone()).unwrap_or_default();
    v1::ListUsersResponse { users, next_page_token: if is_whole { next } else { last } }
}

fn parse_registration(
    own_fields: &OwnFields,
    now: SystemTime,
    request: v1::CreateUserRequest,
) -> Result<Registration> {
    let mut violations = Vec::new();
    let id = keep(&mut violations, parse_new_id(now, &request.user_id));
    let email = keep(&mut violations, parse_email(&request.email));
    let profile = own_fields.create(Setter::Himself, parse_fields(request.profile));
    let profile = profile.map_err(|wrong| violations.extend(wrong)).ok();
    let (Some(id), Some(email), Some(profile)) = (id, email, profile) else {
        return Err(Error::InvalidRequest(violations));
    };
    let password = Password::new(request.password).map_err(Error::PasswordRefused)?;
    Ok(Registration { id, email, password, is_superuser: false, is_verified: false, profile })
}

/// The own fields of a message; none if it has none.
fn parse_fields(message: Option<prost_types::Struct>) -> Map<String, Value> {
    message.map(own_fields::from_struct).unwrap_or_default()
}

fn keep<T>(violations: &mut Vec<Violation>, parsed: Result<T, Violation>) -> Option<T> {
    parsed.map_err(|violation| violations.push(violation)).ok()
}

fn parse_new_id(now: SystemTime, id: &str) -> Result<UserId, Violation> {
    if id.is_empty() {
        return Ok(UserId::new());
    }
    let id = new_user_id::parse(now, id).map_err(|error| Violation::new("user_id", error.to_string()))?;
    Ok(id.into())
}

/// The address that a request names.
pub(crate) fn parse_email(email: &str) -> Result<Email, Violation> {
    Email::parse(email).map_err(|error| Violation::new("email", error.to_string()))
}

/// The user whom a caller names by his id or by `me`.
pub fn parse_target(id: &str) -> Target {
    match id {
        "me" => Target::Me,
        id => Target::Id(parse_uuid(id).map(UserId::from)),
    }
}

fn parse_changes(
    own_fields: &OwnFields,
    before: &UserState,
    target: Target,
    request: v1::UpdateUserRequest,
) -> Result<Changes> {
    let paths = request.update_mask.unwrap_or_default().paths;
    let mut violations = Vec::new();
    let lacks_values = request.user.is_none() && !paths.is_empty();
    if lacks_values {
        violations.push(Violation::new("user", "Field required"));
    }
    let user = request.user.unwrap_or_default();
    let mut changes = Changes::default();
    let named = |path: &str| paths.iter().any(|named| named == path);
    let legal: &[&str] = match target {
        Target::Me => &["email"],
        Target::Id(_) => &["email", "is_active", "is_superuser", "is_verified"],
    };
    if !paths.iter().all(|path| legal.contains(&path.as_str())) {
        violations.push(Violation::new(
            "update_mask",
            format!("Input should name nothing but {}", legal.join(", ")),
        ));
    }
    if named("email") && !lacks_values {
        changes.email = keep(&mut violations, parse_email(&user.email));
    }
    changes.is_active = named("is_active").then_some(user.is_active);
    changes.is_superuser = named("is_superuser").then_some(user.is_superuser);
    changes.is_verified = named("is_verified").then_some(user.is_verified);
    let setter = match target {
        Target::Me => Setter::Himself,
        Target::Id(_) => Setter::Superuser,
    };
    changes.profile = own_fields.patch(setter, parse_fields(request.profile_patch));
    // Also what is wrong with them only beside what is stored; it is looked at again once nobody else can change it.
    if let Err(Error::InvalidRequest(wrong)) = changes.profile_after(before) {
        violations.extend(wrong);
    }
    if !violations.is_empty() {
        return Err(Error::InvalidRequest(violations));
    }
    changes.password = request.password.map(Password::new).transpose().map_err(Error::PasswordRefused)?;
    Ok(changes)
}

/// A user, as callers see him: with those of the operator's own fields that there are now.
pub(crate) fn to_user(own_fields: &OwnFields, user: &User) -> v1::User {
    let shown = own_fields.shown(&user.profile);
    v1::User {
        id: user.id.as_uuid().to_string(),
        email: user.email.clone(),
        is_active: user.is_active,
        is_superuser: user.is_superuser,
        is_verified: user.is_verified,
        create_time: Some(user.created_at.into()),
        update_time: Some(user.updated_at.into()),
        profile: shown.as_ref().map(own_fields::to_struct),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(count: usize, bytes: usize) -> Vec<v1::User> {
        let user = |number: usize| v1::User {
            id: number.to_string(),
            email: "x".repeat(bytes),
            ..v1::User::default()
        };
        (0..count).map(user).collect()
    }

    #[test]
    fn a_page_ends_where_its_caller_could_read_no_more_and_the_next_begins_there() {
        let page = |count, bytes| {
            let page = cut(users(count, bytes), "next".to_owned());
            (page.users.len(), page.next_page_token)
        };
        assert_eq!(page(0, 0), (0, "next".to_owned()));
        assert_eq!(page(200, 1_000), (200, "next".to_owned()));
        assert_eq!(page(200, 100_000), (20, "19".to_owned()));
        assert_eq!(page(2, MAX_PAGE_BYTES), (1, "0".to_owned()));
        assert_eq!(page(1, MAX_PAGE_BYTES), (1, "next".to_owned()));
    }
}
