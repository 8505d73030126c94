//! What the attempts need and cannot make any more once confined.

use crate::rules::Places;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Sockets, paths and memory, made while everything was permitted.
pub(super) struct Ground {
    tcp: [OwnedFd; 4],
    /// `None` on a machine without IPv6.
    tcp_of_ipv6: Option<OwnedFd>,
    unix: OwnedFd,
    /// Where nobody of the SSH ports listens.
    other_port: [u8; 16],
    other_port_of_ipv6: [u8; 28],
    any_port: [u8; 16],
    abstract_name: Vec<u8>,
    program: File,
    parent: u64,
    in_tmp: CString,
    in_ssh: CString,
    beside_config: CString,
    in_log: CString,
    config: CString,
    /// A page that is ours to change the protection of.
    page: Box<Page>,
    iovec: [usize; 2],
    /// Keep listening: an attempt is to fail for no other reason.
    _listeners: (TcpListener, UnixListener),
}

#[repr(align(4096))]
struct Page([u8; 4096]);

impl Ground {
    pub(super) fn prepare(places: &Places) -> io::Result<Self> {
        let name = format!("pulse-sandbox-probe-{}", std::process::id());
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let address = SocketAddr::from_abstract_name(&name)?;
        let beside = places.configuration.parent().unwrap_or(Path::new("/"));
        let mut page = Box::new(Page([0; 4096]));
        let iovec = [page.0.as_mut_ptr().addr(), 8];
        Ok(Self {
            tcp: [tcp()?, tcp()?, tcp()?, tcp()?],
            tcp_of_ipv6: new_socket(AddressFamily::Inet6).ok(),
            unix: new_socket(AddressFamily::Unix)?,
            other_port: loopback(port),
            other_port_of_ipv6: loopback_of_ipv6(port),
            any_port: loopback(0),
            abstract_name: unix_address(&name),
            program: pulse_files::open(Path::new("/proc/self/exe"))?,
            parent: another_process(),
            in_tmp: text(&Path::new("/tmp").join(&name))?,
            in_ssh: text(&places.ssh_directory.join(&name))?,
            beside_config: text(&beside.join(&name))?,
            in_log: text(&places.log_directory.join(&name))?,
            config: text(&places.configuration)?,
            page,
            iovec,
            _listeners: (listener, UnixListener::bind_addr(&address)?),
        })
    }

    /// A TCP socket; each attempt that changes one has one to itself.
    pub(super) fn tcp(&self, which: usize) -> u64 {
        self.tcp.get(which).map_or(NOT_HERE, descriptor)
    }

    pub(super) fn tcp_of_ipv6(&self) -> u64 {
        self.tcp_of_ipv6.as_ref().map_or(NOT_HERE, descriptor)
    }

    pub(super) fn unix(&self) -> u64 {
        descriptor(&self.unix)
    }

    pub(super) fn program(&self) -> u64 {
        descriptor(&self.program)
    }

    pub(super) fn other_port(&self) -> [u64; 2] {
        bytes(&self.other_port)
    }

    pub(super) fn other_port_of_ipv6(&self) -> [u64; 2] {
        bytes(&self.other_port_of_ipv6)
    }

    pub(super) fn any_port(&self) -> [u64; 2] {
        bytes(&self.any_port)
    }

    pub(super) fn abstract_name(&self) -> [u64; 2] {
        bytes(&self.abstract_name)
    }

    pub(super) fn parent(&self) -> u64 {
        self.parent
    }

    pub(super) fn in_tmp(&self) -> u64 {
        pointer(&self.in_tmp)
    }

    pub(super) fn in_ssh(&self) -> u64 {
        pointer(&self.in_ssh)
    }

    pub(super) fn beside_config(&self) -> u64 {
        pointer(&self.beside_config)
    }

    pub(super) fn in_log(&self) -> u64 {
        pointer(&self.in_log)
    }

    pub(super) fn config(&self) -> u64 {
        pointer(&self.config)
    }

    pub(super) fn page(&self) -> u64 {
        self.page.0.as_ptr().addr() as u64
    }

    /// Of eight bytes of the page.
    pub(super) fn iovec(&self) -> u64 {
        self.iovec.as_ptr().addr() as u64
    }
}

/// Instead of a descriptor of a kind that this machine does not have.
pub(super) const NOT_HERE: u64 = u64::MAX - 1;

/// The parent; where that is out of sight, as in a container, an id that is not ours.
fn another_process() -> u64 {
    let parent = nix::unistd::getppid().as_raw();
    let seen = u64::try_from(parent).ok().filter(|parent| *parent != 0);
    seen.unwrap_or(u64::from(std::process::id()) + 1)
}

fn descriptor(file: &impl AsRawFd) -> u64 {
    u64::try_from(file.as_raw_fd()).unwrap_or(u64::MAX)
}

fn pointer(text: &CString) -> u64 {
    text.as_ptr().addr() as u64
}

/// As an address and a length.
fn bytes(bytes: &[u8]) -> [u64; 2] {
    [bytes.as_ptr().addr() as u64, bytes.len() as u64]
}

fn tcp() -> io::Result<OwnedFd> {
    new_socket(AddressFamily::Inet)
}

fn new_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket(
        family,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?)
}

/// A `sockaddr_in` of 127.0.0.1.
fn loopback(port: u16) -> [u8; 16] {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&2u16.to_ne_bytes());
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    address
}

/// A `sockaddr_in6` of `::1`.
fn loopback_of_ipv6(port: u16) -> [u8; 28] {
    let mut address = [0; 28];
    address[..2].copy_from_slice(&10u16.to_ne_bytes());
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[23] = 1;
    address
}

/// A `sockaddr_un` with an abstract name.
fn unix_address(name: &str) -> Vec<u8> {
    let family = 1u16.to_ne_bytes();
    [&family, &[0][..], name.as_bytes()].concat()
}

fn text(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
