//! The session of one connection.
