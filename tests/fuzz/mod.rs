//! Each parser of ours against inputs of every kind and inputs that are nearly right: none makes it panic, and what it
//! says is what a second reading of the rule says.

mod bodies;
mod headers;
mod tokens;
