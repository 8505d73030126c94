//! The connection below TLS: it notices by itself when the other end is gone.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// An idle connection is asked after whether it still stands: for the first time after a
/// minute, and at the latest after two it is known.
const IDLE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;

/// More than this does not wait in our kernel, in bytes: what a slow collector has not
/// taken shows in our buffer, not in one that nobody sees.
const UNSENT: u32 = 16 * 1024;

/// Connects. TCP breaks the connection when what was sent is not taken for `patience`.
pub(crate) async fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(IDLE);
    let keepalive = keepalive.with_interval(INTERVAL).with_retries(PROBES);
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(patience))?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    Ok(stream)
}

/// Asks the kernel itself, since what the runtime knows may be older. True when the
/// connection stands; false when something came, which may be its end.
///
/// # Errors
/// Why it does not stand.
pub(crate) fn stands(stream: &TcpStream) -> io::Result<bool> {
    match SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]) {
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

    const PATIENCE: Duration = Duration::from_secs(20);

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(future)
    }

    /// Both ends.
    async fn pair() -> (TcpStream, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = connect(listener.local_addr().unwrap(), PATIENCE).await;
        (ours.unwrap(), listener.accept().unwrap().0)
    }

    #[test]
    fn the_kernel_is_told_to_notice_a_peer_that_is_gone() {
        run(async {
            let (ours, _theirs) = pair().await;
            let socket = SockRef::from(&ours);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(PATIENCE));
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), IDLE);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), INTERVAL);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT);
        });
    }

    #[test]
    fn a_connection_stands_until_its_end_is_known_to_the_kernel() {
        run(async {
            let (ours, mut theirs) = pair().await;
            assert!(stands(&ours).unwrap());
            theirs.write_all(b"x").unwrap();
            assert!(!stands(&ours).unwrap());
            let (ours, theirs) = pair().await;
            drop(theirs);
            assert!(stands(&ours).is_err());
        });
    }
}
