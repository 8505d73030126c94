//! TCP ports, and socket families and types.

use super::{Attempt, Target, attempt, c_str, int, new_socket, socket};
use libc::{
    AF_ALG, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK, MSG_FASTOPEN, SOCK_DGRAM,
    SOCK_RAW, SOCK_STREAM,
};

const IPPROTO_ICMP: u64 = 1;
const IPPROTO_MPTCP: u64 = 262;
const IPPROTO_SCTP: u64 = 132;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("connect to another port", libc::SYS_connect, |fixtures| {
        let [address, length] = fixtures.other_port();
        [fixtures.tcp(0), address, length, 0, 0, 0]
    })
    .on(Target::Landlock),
    attempt(
        "connect to another port over IPv6",
        libc::SYS_connect,
        |fixtures| {
            let [address, length] = fixtures.other_port_v6();
            [fixtures.tcp_v6(), address, length, 0, 0, 0]
        },
    )
    .on(Target::Landlock),
    attempt(
        "connect by sendto (TCP Fast Open)",
        libc::SYS_sendto,
        |fixtures| {
            let [address, length] = fixtures.other_port();
            [
                fixtures.tcp(1),
                c_str(c"x"),
                1,
                int(MSG_FASTOPEN),
                address,
                length,
            ]
        },
    )
    .on(Target::Landlock),
    attempt(
        "connect to an abstract socket",
        libc::SYS_connect,
        |fixtures| {
            let [address, length] = fixtures.abstract_name();
            [fixtures.unix(), address, length, 0, 0, 0]
        },
    )
    .on(Target::Landlock),
    attempt("bind a port", libc::SYS_bind, |fixtures| {
        let [address, length] = fixtures.any_port();
        [fixtures.tcp(2), address, length, 0, 0, 0]
    })
    .on(Target::Landlock),
    attempt("listen", libc::SYS_listen, |fixtures| {
        [fixtures.tcp(3), 1, 0, 0, 0, 0]
    }),
    new_socket("UDP socket", |_| socket(AF_INET, SOCK_DGRAM, 0)),
    new_socket("UDP socket over IPv6", |_| socket(AF_INET6, SOCK_DGRAM, 0)),
    new_socket("raw IP socket", |_| socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)),
    new_socket("packet socket", |_| socket(AF_PACKET, SOCK_RAW, 0)),
    new_socket("ICMP socket", |_| socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)),
    new_socket("MPTCP socket", |_| {
        socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP)
    }),
    new_socket("SCTP socket", |_| {
        socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP)
    }),
    new_socket("Unix socket", |_| socket(AF_UNIX, SOCK_STREAM, 0)),
    new_socket("netlink socket", |_| socket(AF_NETLINK, SOCK_RAW, 0)),
    new_socket("vsock socket", |_| socket(AF_VSOCK, SOCK_STREAM, 0)),
    new_socket("AF_ALG socket", |_| socket(AF_ALG, libc::SOCK_SEQPACKET, 0)),
];
