//! The TCP connection below TLS, with the kernel's timeouts for peers that are gone.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Keepalive probes start after a minute without traffic; a dead peer is detected a minute
/// later.
const IDLE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;

/// Bytes that may be unsent in the kernel's buffer (`TCP_NOTSENT_LOWAT`). Low, so that
/// what a slow collector does not read stays in our buffer, where it counts as not written.
const UNSENT: u32 = 16 * 1024;

/// Connects. The kernel breaks the connection when the peer does not acknowledge segments for
/// `io_timeout` (`TCP_USER_TIMEOUT`).
pub(crate) async fn connect(address: SocketAddr, io_timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Records are written in batches already: Nagle's algorithm would only delay the last segment
    // of each until the ones before are acknowledged (RFC 896).
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(IDLE)
        .with_interval(INTERVAL)
        .with_retries(PROBES);
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(io_timeout))?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    Ok(stream)
}

/// True when the connection is established and has nothing to read; false when there is
/// data or an end to read. The kernel is asked, because the runtime's state may be older.
///
/// # Errors
/// The reason for which the connection broke; `UnexpectedEof` when the peer closed it.
pub(crate) fn is_established(stream: &TcpStream) -> io::Result<bool> {
    match SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]) {
        // recv(2): 0 is the end of the stream, EAGAIN an open one without data.
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(future)
    }

    /// Both ends of a connection.
    async fn pair() -> (TcpStream, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = connect(listener.local_addr().unwrap(), TIMEOUT).await;
        (ours.unwrap(), listener.accept().unwrap().0)
    }

    #[test]
    fn socket_options_are_set() {
        run(async {
            let (ours, _theirs) = pair().await;
            let socket = SockRef::from(&ours);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(TIMEOUT));
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), IDLE);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), INTERVAL);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT);
        });
    }

    #[test]
    fn end_and_data_are_noticed() {
        run(async {
            let (ours, mut theirs) = pair().await;
            assert!(is_established(&ours).unwrap());
            theirs.write_all(b"x").unwrap();
            assert!(!is_established(&ours).unwrap());
            let (ours, theirs) = pair().await;
            drop(theirs);
            assert!(is_established(&ours).is_err());
        });
    }
}
