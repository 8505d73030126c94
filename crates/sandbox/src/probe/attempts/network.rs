//! Ports, addresses and kinds of sockets.

use super::{Attempt, harmless, new_socket, plain, socket, text};
use libc::{
    AF_ALG, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK, MSG_FASTOPEN, SOCK_DGRAM,
    SOCK_RAW, SOCK_STREAM,
};

const IPPROTO_ICMP: u64 = 1;
const IPPROTO_MPTCP: u64 = 262;
const IPPROTO_SCTP: u64 = 132;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt::new("connect to another port", libc::SYS_connect, |ground| {
        let [address, length] = ground.other_port();
        [ground.tcp(0), address, length, 0, 0, 0]
    })
    .confined(),
    Attempt::new(
        "connect to another port over IPv6",
        libc::SYS_connect,
        |ground| {
            let [address, length] = ground.other_port_of_ipv6();
            [ground.tcp_of_ipv6(), address, length, 0, 0, 0]
        },
    )
    .confined(),
    harmless(
        "connect past connect (TCP Fast Open)",
        libc::SYS_sendto,
        |ground| {
            let [address, length] = ground.other_port();
            [
                ground.tcp(1),
                text(c"x"),
                1,
                plain(MSG_FASTOPEN),
                address,
                length,
            ]
        },
    )
    .confined(),
    Attempt::new(
        "another program's abstract socket",
        libc::SYS_connect,
        |ground| {
            let [address, length] = ground.abstract_name();
            [ground.unix(), address, length, 0, 0, 0]
        },
    )
    .confined(),
    harmless("bind a port", libc::SYS_bind, |ground| {
        let [address, length] = ground.any_port();
        [ground.tcp(2), address, length, 0, 0, 0]
    })
    .confined(),
    harmless("listen", libc::SYS_listen, |ground| {
        [ground.tcp(3), 1, 0, 0, 0, 0]
    }),
    new_socket("UDP", |_| socket(AF_INET, SOCK_DGRAM, 0)),
    new_socket("UDP over IPv6", |_| socket(AF_INET6, SOCK_DGRAM, 0)),
    new_socket("raw packets", |_| socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)),
    new_socket("packets of the link", |_| socket(AF_PACKET, SOCK_RAW, 0)),
    new_socket("ping", |_| socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)),
    new_socket("multipath TCP", |_| {
        socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP)
    }),
    new_socket("SCTP", |_| socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP)),
    new_socket("other services' Unix sockets", |_| {
        socket(AF_UNIX, SOCK_STREAM, 0)
    }),
    new_socket("the kernel's netlink", |_| socket(AF_NETLINK, SOCK_RAW, 0)),
    new_socket("the hypervisor's sockets", |_| {
        socket(AF_VSOCK, SOCK_STREAM, 0)
    }),
    new_socket("the kernel's cryptography", |_| {
        socket(AF_ALG, libc::SOCK_SEQPACKET, 0)
    }),
];
