//! The only way out: a listening socket inside, handed to the site outside.
//!
//! A socket belongs to the network in which it was made, whoever holds it. So the inside makes one
//! on its loopback and gives it away; the site accepts on it and asks the gate for each request.
//! No process of the inside stands between, and there is no path that a script could open.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The inside of the door, which a script finds in its proxy variables.
pub(super) fn open() -> io::Result<(TcpListener, u16)> {
    raise_loopback()?;
    let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// In a network of its own even the loopback is down.
fn raise_loopback() -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    let mut name = [0; libc::IFNAMSIZ];
    for (to, from) in name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    let flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    let request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags },
    };
    // SAFETY: this request reads an `ifreq`, and `request` is one that outlives the call.
    #[allow(unsafe_code)]
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends one byte, and the door with it.
pub(super) fn send(to: BorrowedFd<'_>, byte: u8, door: Option<&TcpListener>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = door.iter().map(|door| door.as_fd()).collect();
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)), "there is room for one");
    }
    sendmsg(to, &[IoSlice::new(&[byte])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one byte, and what comes with it. No byte where the other side has closed.
pub(super) fn receive(from: BorrowedFd<'_>) -> io::Result<(Option<u8>, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(
        from,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    let mut door = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            door = fds.into_iter().next().or(door);
        }
    }
    Ok(((received.bytes == 1).then_some(byte[0]), door))
}
