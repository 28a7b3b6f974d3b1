"""FastAPI Users on Postgres, as its documentation sets it up, to be measured beside Portcullis.

Passwords are hashed with bcrypt at cost 12, by the library that FastAPI Users itself uses. Its own choice for new
passwords is argon2id, which this is not: so that both sides do the same work.

Environment:
  PEER_DATABASE_URL   SQLAlchemy's URL of the database: postgresql+asyncpg://USER:PASSWORD@HOST:PORT/DATABASE
  PEER_SECRET         one secret for every kind of token
"""
import os
import uuid

from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, CookieTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users.password import PasswordHelper
from pwdlib import PasswordHash
from pwdlib.hashers.bcrypt import BcryptHasher
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

SECRET = os.environ["PEER_SECRET"]
PASSWORDS = PasswordHelper(PasswordHash((BcryptHasher(rounds=12),)))


class Base(DeclarativeBase):
    """The tables."""


class User(SQLAlchemyBaseUserTableUUID, Base):
    """The table `user`, with nothing of our own."""


# As many as there are clients: the 5 that SQLAlchemy keeps by default would have it open a connection, and close it,
# for most requests.
engine = create_async_engine(os.environ["PEER_DATABASE_URL"], pool_size=32)
make_session = async_sessionmaker(engine, expire_on_commit=False)


async def make_tables():
    """Makes the tables. Called once, before the workers start."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()


async def session_of_request():
    async with make_session() as session:
        yield session


async def users_of_request(session=Depends(session_of_request)):
    yield SQLAlchemyUserDatabase(session, User)


class Manager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


async def manager_of_request(users=Depends(users_of_request)):
    yield Manager(users, PASSWORDS)


def backend(name, transport):
    return AuthenticationBackend(
        name=name, transport=transport, get_strategy=lambda: JWTStrategy(secret=SECRET, lifetime_seconds=3600)
    )


bearer = backend("jwt", BearerTransport(tokenUrl="auth/jwt/login"))
cookie = backend("cookie", CookieTransport(cookie_name="fastapiusersauth", cookie_max_age=3600))
fastapi_users = FastAPIUsers[User, uuid.UUID](manager_of_request, [bearer, cookie])

app = FastAPI()
app.include_router(fastapi_users.get_auth_router(bearer), prefix="/auth/jwt")
app.include_router(fastapi_users.get_auth_router(cookie), prefix="/auth/cookie")
app.include_router(
    fastapi_users.get_register_router(schemas.BaseUser[uuid.UUID], schemas.BaseUserCreate), prefix="/auth"
)
app.include_router(
    fastapi_users.get_users_router(schemas.BaseUser[uuid.UUID], schemas.BaseUserUpdate), prefix="/users"
)
