//! What foreign code tries, and must not get.

use std::net::{Ipv4Addr, TcpListener};

use isonomy_sandbox::Ending;

use crate::site::{MIB, Site, check, python, run, shell, users};

/// Says the name of the error that each attempt ends with, or that it went through.
const TRY: &str = "
import ctypes, errno, os, socket, sys
def attempt(name, what):
    try:
        what()
        print(name, 'WENT THROUGH')
    except OSError as error:
        print(name, errno.errorcode.get(error.errno, type(error).__name__))
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    if function(*arguments) == -1:
        raise OSError(ctypes.get_errno(), 'refused')
";

/// Mutation: leave `NEWNET` out of the namespaces, or a kind of socket in the list of the allowed.
#[test]
fn nothing_leaves_but_by_the_door() {
    // A server of the host, on an address that both sides have.
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = host.local_addr().expect("an address").port();
    let code = format!(
        "{TRY}
def tcp(address, family=socket.AF_INET):
    socket.socket(family).connect(address)
attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt('packet', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt('vsock', lambda: socket.socket(40, socket.SOCK_STREAM))
attempt('tcp', lambda: tcp(('192.0.2.1', 80)))
attempt('ipv6', lambda: tcp(('2001:db8::1', 80), socket.AF_INET6))
attempt('name server', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53)))
attempt('host', lambda: tcp(('127.0.0.1', {port})))
attempt('name', lambda: socket.getaddrinfo('example.com', 80))
"
    );
    let expected = "raw EPERM\npacket EAFNOSUPPORT\nvsock EAFNOSUPPORT\ntcp ENETUNREACH\nipv6 ENETUNREACH\n\
                    name server ENETUNREACH\nhost ECONNREFUSED\nname gaierror\n";
    check(&python(&code), expected);
}

/// Mutation: show `/`, `/etc` or `/home`, or let a mount be written to.
#[test]
fn the_host_is_neither_read_nor_written() {
    let data = tempfile::tempdir().expect("a folder");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(data.path(), mode).expect("it is ours");
    std::fs::write(data.path().join("isonomy.db"), "secret").expect("a file");
    let code = format!(
        "{TRY}
read = lambda path: open(path, 'rb').read()
attempt('data folder', lambda: read('{data}/isonomy.db'))
attempt('shadow', lambda: read('/etc/shadow'))
attempt('home', lambda: os.listdir('/root'))
attempt('homes', lambda: os.listdir('/home'))
attempt('sys', lambda: os.listdir('/sys'))
attempt('disk', lambda: read('/dev/sda'))
attempt('memory', lambda: read('/dev/mem'))
for path in ['/', '/usr', '/usr/bin', '/etc', '/dev', '/script', '/proc/sys/kernel', '/lib/']:
    attempt('write ' + path, lambda: open(path.rstrip('/') + '/there', 'w'))
attempt('overwrite', lambda: open('/usr/bin/env', 'a'))
attempt('code', lambda: open('/script/main.py', 'a'))
attempt('knobs', lambda: open('/proc/sys/kernel/hostname', 'w'))
attempt('link', lambda: (os.symlink('/etc/shadow', '/work/s'), read('/work/s')))
open('/work/mine', 'w').write('x')
open('/tmp/mine', 'w').write('x')
print(sorted(os.listdir('/')))
",
        data = data.path().display()
    );
    for user in users() {
        let Some(told) = run(user, &python(&code)) else { return };
        assert!(!told.stdout.contains("WENT THROUGH"), "{user:?}: {told:?}");
        assert_eq!(told.stdout.lines().count(), 20, "{user:?}: {told:?}");
        assert_eq!(told.ending, Some(Ending::Exited(0)), "{user:?}: {told:?}");
        let roots = told.stdout.lines().last().unwrap_or_default().to_owned();
        assert!(!roots.contains("data") && roots.contains("work"), "{roots}");
    }
}

/// Mutation: leave `NEWPID` out, mount no new `/proc`, or leave process 1 open to be looked into.
#[test]
fn no_other_process_is_seen_or_looked_into() {
    let site = std::process::id();
    let code = format!(
        "{TRY}
numbers = [int(name) for name in os.listdir('/proc') if name.isdigit()]
print(len(numbers), min(numbers))
attempt('site', lambda: open('/proc/{site}/environ').read()) if {site} not in numbers else print('site seen')
attempt('environment', lambda: open('/proc/1/environ').read())
attempt('root', lambda: os.listdir('/proc/1/' + 'root'))
attempt('files', lambda: os.listdir('/proc/1/fd'))
attempt('memory', lambda: open('/proc/1/mem', 'r+b'))
attempt('signal', lambda: os.kill({site}, 0)) if {site} not in numbers else print('site seen')
os.kill(1, 9)
print('still here')
print(sorted(name for name in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + name)))
"
    );
    let expected = "2 1\nsite ENOENT\nenvironment EACCES\nroot EACCES\nfiles EACCES\nmemory EACCES\n\
                    signal ESRCH\nstill here\n['0', '1', '2']\n";
    check(&python(&code), expected);
}

/// Mutation: keep a capability or the bounding set, allow new privileges, or skip the filter.
#[test]
fn no_right_is_left_and_none_can_be_gained() {
    let code = format!(
        "{TRY}
status = dict(line.split(':', 1) for line in open('/proc/self/status') if ':' in line)
for name in ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp']:
    print(name, int(status[name], 16))
print('root' if 0 in os.getresuid() + os.getresgid() + tuple(os.getgroups()) else 'nobody')
attempt('mount', lambda: call(libc.mount, b'none', b'/work', b'tmpfs', 0, None))
attempt('unmount', lambda: call(libc.umount2, b'/usr', 2))
attempt('chroot', lambda: os.chroot('/work'))
attempt('user namespace', lambda: call(libc.unshare, 0x10000000))
attempt('trace', lambda: call(libc.ptrace, 0, 0, None, None))
attempt('trace 1', lambda: call(libc.ptrace, 16, 1, None, None))
attempt('keys', lambda: call(libc.syscall, 250, 0, -3, 0, 0, 0))
attempt('bpf', lambda: call(libc.syscall, 321, 0, None, 0))
attempt('io_uring', lambda: call(libc.syscall, 425, 1, None))
attempt('clone', lambda: call(libc.syscall, 56, 0x10000000 | 17, 0, 0, 0, 0))
def nobody(what):
    # Root has no number at all where the user namespace is the job's own.
    try:
        what()
        print('WENT THROUGH')
    except OSError as error:
        print(error.errno in (errno.EPERM, errno.EINVAL))
nobody(lambda: os.setuid(0))
nobody(lambda: (open('/work/f', 'w'), os.chown('/work/f', 0, 0)))
open('/work/sh', 'wb').write(open('/bin/sh', 'rb').read())
os.chmod('/work/sh', 0o4755)
print('su', os.system('/work/sh -c \"test $(id -u) -ne 0\"'))
mounts = [line.split() for line in open('/proc/mounts')]
print([m[1] for m in mounts if 'nosuid' not in m[3].split(',') and not m[1].startswith('/dev/')])
"
    );
    let expected = "CapInh 0\nCapPrm 0\nCapEff 0\nCapBnd 0\nCapAmb 0\nNoNewPrivs 1\nSeccomp 2\nnobody\n\
                    mount EPERM\nunmount EPERM\nchroot EPERM\nuser namespace EPERM\ntrace EPERM\n\
                    trace 1 EPERM\nkeys EPERM\nbpf EPERM\nio_uring EPERM\nclone EPERM\nTrue\nTrue\nsu 0\n[]\n";
    if cfg!(target_arch = "x86_64") {
        check(&python(&code), expected);
    }
}

/// Mutation: skip the limit of processes, or let two jobs share one.
#[test]
fn a_fork_bomb_stays_inside() {
    // It says that it has begun, then grows as far as it can and holds on to what it has.
    let bomb = shell("echo begun; bomb() { bomb | bomb & bomb; }; bomb 2>/dev/null; wait");
    for user in users() {
        let site = Site::start(user, &bomb, &[]);
        let others: Vec<_> = (0..3).map(|_| run(user, &shell("echo $(echo fine)"))).collect();
        for other in others {
            let Some(other) = other else { return };
            assert_eq!(other.stdout, "fine\n", "{user:?}: {other:?}");
        }
        let told = site.cancel().expect("there is a sandbox");
        assert!(told.stdout.starts_with("begun") || told.stdout.is_empty(), "{user:?}: {told:?}");
    }
}

/// Mutation: skip the limit of addresses, or of what can be written to.
#[test]
fn a_memory_bomb_ends_itself() {
    let code = "
import mmap
try:
    kept = []
    while True:
        kept.append(bytearray(16 << 20))
except MemoryError:
    count = len(kept)
    kept = None
print('some' if 1 < count < 20 else count)
try:
    mmap.mmap(-1, 1 << 30)
    print('WENT THROUGH')
except OSError as error:
    print(error.errno)
";
    check(&python(code), "some\n12\n");
    // Without counting addresses, as for V8, shared memory is what is left to try.
    let mut reserving = python(code);
    reserving.limits.count_addresses = false;
    check(&reserving, "some\n12\n");
}

/// Mutation: give the working folder no size, or each of its names one.
#[test]
fn the_working_folder_fills_up_by_itself() {
    let code = format!(
        "{TRY}
def fill(path):
    with open(path, 'wb') as file:
        for _ in range(64):
            file.write(b'x' * (1 << 20))
            file.flush()
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
attempt('work', lambda: fill('/work/a'))
attempt('tmp', lambda: fill('/tmp/b'))
attempt('shm', lambda: fill('/dev/shm/c'))
print(sum(os.stat(path).st_size for path in ['/work/a', '/tmp/b', '/dev/shm/c']) <= {limit})
",
        limit = 8 * MIB
    );
    for user in users() {
        let Some(told) = run(user, &python(&code)) else { return };
        let lines: Vec<_> = told.stdout.lines().collect();
        assert_eq!(lines.len(), 4, "{user:?}: {told:?}");
        assert!(!told.stdout.contains("WENT THROUGH") && lines[3] == "True", "{user:?}: {told:?}");
    }
}
