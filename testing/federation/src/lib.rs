//! Hub and sites over real sockets: only tests are here. Neither room may use the other.
