//! Sockets, paths and memory that the attempts need and cannot create once confined.

use crate::rules::DaemonPaths;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

/// Objects that are created before the first layer is applied. The methods return what a system
/// call takes: descriptors, and addresses of memory that lives as long as this value.
pub(super) struct Fixtures {
    /// Each attempt that changes a socket has one of its own.
    tcp: [OwnedFd; 4],
    /// `None` if this machine has no IPv6.
    tcp_v6: Option<OwnedFd>,
    unix: OwnedFd,
    /// `sockaddr_in` of a listener on a port that no rule permits.
    other_port: [u8; 16],
    /// `sockaddr_in6` of the same port.
    other_port_v6: [u8; 28],
    any_port: [u8; 16],
    abstract_name: Vec<u8>,
    program: File,
    parent: u64,
    in_tmp: CString,
    in_ssh: CString,
    beside_config: CString,
    in_log: CString,
    config: CString,
    /// A page of our own, to change its protection.
    page: Box<Page>,
    /// A struct iovec of the first eight bytes of the page.
    iovec: [usize; 2],
    /// Listen until the end, so that a connect(2) fails only if it is refused.
    _listeners: (TcpListener, UnixListener),
}

#[repr(align(4096))]
struct Page([u8; 4096]);

/// Stands for a descriptor of a kind that this machine does not have.
pub(super) const UNAVAILABLE: u64 = u64::MAX - 1;

impl Fixtures {
    pub(super) fn create(paths: &DaemonPaths) -> io::Result<Self> {
        let name = format!("pulse-sandbox-probe-{}", std::process::id());
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let address = SocketAddr::from_abstract_name(&name)?;
        let config_directory = paths.configuration.parent().unwrap_or(Path::new("/"));
        let tcp = || stream_socket(AddressFamily::Inet);
        let mut page = Box::new(Page([0; 4096]));
        // An address, not a reference: this value would borrow from its own page.
        let iovec = [page.0.as_mut_ptr().addr(), 8];
        Ok(Self {
            tcp: [tcp()?, tcp()?, tcp()?, tcp()?],
            tcp_v6: stream_socket(AddressFamily::Inet6).ok(),
            unix: stream_socket(AddressFamily::Unix)?,
            other_port: loopback(port),
            other_port_v6: loopback_v6(port),
            any_port: loopback(0),
            // AF_UNIX, and a name that starts with a NUL byte (unix(7)).
            abstract_name: [&1u16.to_ne_bytes(), &[0][..], name.as_bytes()].concat(),
            program: pulse_files::open(Path::new("/proc/self/exe"))?,
            // It is 0 if the parent is in another PID namespace, as the init process of a
            // container sees it; then any ID that is not ours is used.
            parent: u64::try_from(nix::unistd::getppid().as_raw())
                .ok()
                .filter(|parent| *parent != 0)
                .unwrap_or(u64::from(std::process::id()) + 1),
            in_tmp: c_path(&Path::new("/tmp").join(&name))?,
            in_ssh: c_path(&paths.ssh_directory.join(&name))?,
            beside_config: c_path(&config_directory.join(&name))?,
            in_log: c_path(&paths.log_directory.join(&name))?,
            config: c_path(&paths.configuration)?,
            page,
            iovec,
            _listeners: (listener, UnixListener::bind_addr(&address)?),
        })
    }

    pub(super) fn tcp(&self, index: usize) -> u64 {
        self.tcp.get(index).map_or(UNAVAILABLE, descriptor)
    }

    pub(super) fn tcp_v6(&self) -> u64 {
        self.tcp_v6.as_ref().map_or(UNAVAILABLE, descriptor)
    }

    pub(super) fn unix(&self) -> u64 {
        descriptor(&self.unix)
    }

    pub(super) fn program(&self) -> u64 {
        descriptor(&self.program)
    }

    pub(super) fn other_port(&self) -> [u64; 2] {
        address_and_length(&self.other_port)
    }

    pub(super) fn other_port_v6(&self) -> [u64; 2] {
        address_and_length(&self.other_port_v6)
    }

    pub(super) fn any_port(&self) -> [u64; 2] {
        address_and_length(&self.any_port)
    }

    pub(super) fn abstract_name(&self) -> [u64; 2] {
        address_and_length(&self.abstract_name)
    }

    pub(super) fn parent(&self) -> u64 {
        self.parent
    }

    pub(super) fn in_tmp(&self) -> u64 {
        c_str(&self.in_tmp)
    }

    pub(super) fn in_ssh(&self) -> u64 {
        c_str(&self.in_ssh)
    }

    pub(super) fn beside_config(&self) -> u64 {
        c_str(&self.beside_config)
    }

    pub(super) fn in_log(&self) -> u64 {
        c_str(&self.in_log)
    }

    pub(super) fn config(&self) -> u64 {
        c_str(&self.config)
    }

    pub(super) fn page(&self) -> u64 {
        self.page.0.as_ptr().addr() as u64
    }

    pub(super) fn iovec(&self) -> u64 {
        self.iovec.as_ptr().addr() as u64
    }
}

fn descriptor(file: &impl AsRawFd) -> u64 {
    u64::try_from(file.as_raw_fd()).unwrap_or(u64::MAX)
}

pub(super) fn c_str(text: &CStr) -> u64 {
    text.as_ptr().addr() as u64
}

fn address_and_length(bytes: &[u8]) -> [u64; 2] {
    [bytes.as_ptr().addr() as u64, bytes.len() as u64]
}

fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socket(family, SockType::Stream, flags, None)?)
}

/// A `sockaddr_in` of 127.0.0.1.
fn loopback(port: u16) -> [u8; 16] {
    let mut address = [0; 16];
    // The family in the machine's byte order, the port in the network's (ip(7)).
    address[..2].copy_from_slice(&2u16.to_ne_bytes());
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    address
}

/// A `sockaddr_in6` of `::1`.
fn loopback_v6(port: u16) -> [u8; 28] {
    let mut address = [0; 28];
    address[..2].copy_from_slice(&10u16.to_ne_bytes());
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[23] = 1;
    address
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
