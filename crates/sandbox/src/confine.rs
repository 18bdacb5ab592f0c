//! What the child takes away from itself before it reads the first expression.
//!
//! jq has no way to the outside: no file, no network, no program. This is the second wall, for the
//! case that the first has a hole. Only the limits of memory are needed every day. What a system
//! does not allow (a network namespace, mostly) is left out: it was not there to begin with.

use std::io;

/// Standard input and output, and a few that the runtime opens.
const FILES_MAX: u64 = 16;

/// Takes away memory beyond the limit, files, network, and what was inherited. To be called while
/// the process has one thread.
pub(crate) fn confine(memory_bytes: u64) -> io::Result<()> {
    close_inherited();
    one_arena();
    leave_network();
    no_new_privileges();
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_FSIZE, 0)?;
    limit(libc::RLIMIT_NOFILE, FILES_MAX)?;
    limit(libc::RLIMIT_AS, memory_bytes)
}

/// Waits until the other end of stdin is closed: the parent has gone or lets this child go.
pub(crate) fn wait_for_hangup() {
    let mut stdin = libc::pollfd { fd: libc::STDIN_FILENO, events: 0, revents: 0 };
    loop {
        // SAFETY: `stdin` is one valid `pollfd`, and the count says one.
        #[allow(unsafe_code)]
        let ready = unsafe { libc::poll(&raw mut stdin, 1, -1) };
        let interrupted =
            ready < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
        if !interrupted {
            return;
        }
    }
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: `limit` is a valid `rlimit` that outlives the call.
    #[allow(unsafe_code)]
    let result = unsafe { libc::setrlimit(resource, &raw const limit) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The parent opens its files so that children do not get them. A library of its might not.
pub(crate) fn close_inherited() {
    let (first, last, flags): (libc::c_uint, libc::c_uint, libc::c_uint) =
        (3, libc::c_uint::MAX, 0);
    // SAFETY: no file above stderr is in use yet, since `main` has done nothing before this.
    #[allow(unsafe_code)]
    unsafe {
        libc::syscall(libc::SYS_close_range, first, last, flags);
    }
}

/// Each thread's arena would take 64 MiB of the address space that the limit counts.
fn one_arena() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: `mallopt` takes two integers, and no other thread allocates yet.
        #[allow(unsafe_code)]
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}

/// A network namespace of its own has no interface that is up. Root may have one; others only
/// within a user namespace of their own.
fn leave_network() {
    // SAFETY: `unshare` takes flags only; the process has one thread.
    #[allow(unsafe_code)]
    unsafe {
        if libc::unshare(libc::CLONE_NEWNET) != 0 {
            libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET);
        }
    }
}

fn no_new_privileges() {
    let (on, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: this option takes one number, and zeroes for the rest.
    #[allow(unsafe_code)]
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, on, none, none, none);
    }
}
