//! What a client sends in a body: bad input of every kind is refused in the contract's words and changes nothing.

mod addresses;
mod bodies;
mod bytes;
mod injection;
mod json_shape;
mod passwords;
mod pollution;
