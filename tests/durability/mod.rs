//! What was acknowledged stays, whatever is killed, cut or torn meanwhile (`F` of the catalogue).

mod links;
