//! Memory that this process does not use goes back to the system.

/// Gives back what has been freed. The allocator keeps it for the next allocation, and a site at rest
/// would hold what it needed when it was busiest. Costs a millisecond, so it is for moments of rest.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back() {
    // SAFETY: takes no memory of ours, and may be called by any thread at any time (MT-Safe).
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators have no such call, or do it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}
