//! What is taken away: identity, capabilities, limits.

use std::io;

use rustix::process::{Gid, Resource, Rlimit, Uid, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use super::job::Limits;

/// Capabilities that a kernel may know. Those that it does not are skipped.
const CAPABILITIES: u32 = 64;

/// Becomes another user without any group. For root, while the process has one thread.
pub(super) fn become_user(user: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// No program that is started from here on can have a capability, whatever its file says.
pub(super) fn drop_bounding_set() -> io::Result<()> {
    for number in 0..CAPABILITIES {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match remove_capability_from_bounding_set(one) {
            // A number that the kernel does not have.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The last capabilities of this process, and the way to new ones.
pub(super) fn drop_capabilities() -> io::Result<()> {
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(set_no_new_privs(true)?)
}

/// For the script alone, since process 1 must stay able to do its duty.
pub(super) fn limit(limits: &Limits) -> io::Result<()> {
    let set = |resource, most: u64| {
        // What the site itself may not have, it cannot give.
        let most = Some(getrlimit(resource).maximum.map_or(most, |ours| ours.min(most)));
        setrlimit(resource, Rlimit { current: most, maximum: most })
    };
    set(Resource::Core, 0)?;
    set(Resource::Data, limits.memory_bytes)?;
    if limits.count_addresses {
        set(Resource::As, limits.memory_bytes)?;
    }
    set(Resource::Nproc, limits.processes.saturating_add(OWN_PROCESSES))?;
    set(Resource::Nofile, limits.files)?;
    set(Resource::Fsize, limits.scratch_bytes)?;
    set(Resource::Cpu, limits.cpu_seconds)?;
    set(Resource::Memlock, 0)?;
    set(Resource::Msgqueue, 0)?;
    set(Resource::Sigpending, SIGNALS_MAX)?;
    Ok(())
}

/// Signals that may be queued. Each is kernel memory.
const SIGNALS_MAX: u64 = 1_024;

/// Process 1 and its watcher run as the same user.
const OWN_PROCESSES: u64 = 2;
