//! Calls that no script has a use for, and that reach parts of the kernel where holes are found.
//!
//! The second wall: namespaces and missing capabilities are the first. A refused call answers
//! "not permitted", so that a program that merely asks goes on.

use std::io;

/// Calls that are refused whatever their arguments are.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const REFUSED: [libc::c_long; 47] = [
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_lookup_dcookie,
    libc::SYS_vhangup,
    libc::SYS_syslog,
    // Memory that no limit of a process counts.
    libc::SYS_shmget,
    libc::SYS_memfd_create,
];

/// Kinds of sockets that are bounded by the network namespace. Others, such as those to a
/// hypervisor, are not.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const SOCKETS: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// Numbers from here on are another set of calls of the same machine (x32).
#[cfg(target_arch = "x86_64")]
const NUMBERS_END: u32 = 0x4000_0000;
#[cfg(target_arch = "aarch64")]
const NUMBERS_END: u32 = u32::MAX;

/// Flags of `clone` that make a namespace.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u32;

/// Offsets in what the filter sees of a call.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod seen {
    pub(super) const NUMBER: u32 = 0;
    pub(super) const ARCHITECTURE: u32 = 4;
    /// The lower half, which is all that a flag or a small number has.
    pub(super) const fn argument(number: u32) -> u32 {
        16 + 8 * number
    }
}

/// Makes the refusals hold for this thread and all that comes of it. Needs "no new privileges".
///
/// Memory shared between processes is counted with their addresses; where those are not limited, it
/// cannot be had.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn refuse_calls(share_memory: bool) -> io::Result<()> {
    let mut filter = program(share_memory);
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).expect("a few hundred instructions"),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: `program` points at `filter`, and both outlive the call, which copies them.
    #[allow(unsafe_code)]
    let result =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where the numbers of calls are not known, the first wall stands alone.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn refuse_calls(_: bool) -> io::Result<()> {
    Ok(())
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn program(share_memory: bool) -> Vec<libc::sock_filter> {
    let number = |call: libc::c_long| u32::try_from(call).expect("a call has a small number");
    let refused = errno(libc::EPERM);
    let mut code = vec![load(seen::ARCHITECTURE)];
    // Calls of another architecture have other numbers: a 32-bit program does not run at all.
    code.extend(unless_equal(ARCHITECTURE, refused));
    code.push(load(seen::NUMBER));
    code.extend(if_at_least(NUMBERS_END, refused));
    for call in REFUSED {
        code.extend(if_equal(number(call), refused));
    }
    // Its flags lie in memory, where no filter looks; the C library then uses `clone`.
    code.extend(if_equal(number(libc::SYS_clone3), errno(libc::ENOSYS)));
    let in_clone = [load(seen::argument(0))]
        .into_iter()
        .chain(if_any_bit(NAMESPACES, refused))
        .chain([allow()])
        .collect::<Vec<_>>();
    code.push(skip_unless_equal(number(libc::SYS_clone), in_clone.len()));
    code.extend(in_clone);
    let in_socket = [load(seen::argument(0))]
        .into_iter()
        .chain(SOCKETS.into_iter().flat_map(|kind| if_equal(kind.unsigned_abs(), ALLOW)))
        .chain([answer(errno(libc::EAFNOSUPPORT))])
        .collect::<Vec<_>>();
    code.push(skip_unless_equal(number(libc::SYS_socket), in_socket.len()));
    code.extend(in_socket);
    if share_memory {
        code.push(allow());
        return code;
    }
    let in_map = [load(seen::argument(3))]
        .into_iter()
        .chain(if_all_bits(
            (libc::MAP_SHARED | libc::MAP_ANONYMOUS).unsigned_abs(),
            errno(libc::ENOMEM),
        ))
        .chain([allow()])
        .collect::<Vec<_>>();
    code.push(skip_unless_equal(number(libc::SYS_mmap), in_map.len()));
    code.extend(in_map);
    code.push(allow());
    code
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn errno(number: libc::c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | number.unsigned_abs()
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn instruction(code: u32, yes: u8, no: u8, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: yes, jf: no, k: value }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn load(offset: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn answer(with: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, with)
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn allow() -> libc::sock_filter {
    answer(ALLOW)
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn jump(kind: u32, value: u32, yes: u8, no: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | kind | libc::BPF_K, yes, no, value)
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn if_equal(value: u32, with: u32) -> [libc::sock_filter; 2] {
    [jump(libc::BPF_JEQ, value, 0, 1), answer(with)]
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn unless_equal(value: u32, with: u32) -> [libc::sock_filter; 2] {
    [jump(libc::BPF_JEQ, value, 1, 0), answer(with)]
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn if_at_least(value: u32, with: u32) -> [libc::sock_filter; 2] {
    [jump(libc::BPF_JGE, value, 0, 1), answer(with)]
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn if_any_bit(bits: u32, with: u32) -> [libc::sock_filter; 2] {
    [jump(libc::BPF_JSET, bits, 0, 1), answer(with)]
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn if_all_bits(bits: u32, with: u32) -> [libc::sock_filter; 3] {
    let only = instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, bits);
    [only, jump(libc::BPF_JEQ, bits, 0, 1), answer(with)]
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn skip_unless_equal(value: u32, count: usize) -> libc::sock_filter {
    let count = u8::try_from(count).expect("a short block");
    jump(libc::BPF_JEQ, value, 0, count)
}
