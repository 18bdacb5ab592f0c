//! How jobs begin and end.

use std::os::fd::AsFd;

use isonomy_sandbox::Ending;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::site::{Site, User, check, find_process, python, run, shell, users};

/// Mutation: pass the site's environment on, lose an argument, or hand over no input.
#[test]
fn a_job_gets_what_it_was_given_and_nothing_else() {
    let mut job =
        shell("cat; echo \" $1 $2\"; env | sort | grep -v PROXY | grep -v proxy; id -un; pwd");
    job.stdin = "in".to_owned();
    job.arguments = vec!["a b".to_owned(), "$HOME".to_owned()];
    job.environment = vec![("MINE".to_owned(), "x=1".to_owned())];
    let expected = "in a b $HOME\nHOME=/work\nLANG=C.UTF-8\nMINE=x=1\n\
                    PATH=/usr/local/bin:/usr/bin:/bin\nPWD=/work\nPYTHONDONTWRITEBYTECODE=1\n\
                    PYTHONUNBUFFERED=1\nTMPDIR=/tmp\nUSER=script\nscript\n/work\n";
    for user in users() {
        let told = Site::start(user, &job, &[("HOST_SECRET", "s")]).end();
        let Some(told) = told else { return };
        assert_eq!(told.stdout, expected, "{user:?}: {told:?}");
    }
}

/// Mutation: take a signal for an exit, or lose the code.
#[test]
fn an_ending_is_told_as_it_was() {
    for user in users() {
        let end = |code: &str| run(user, &shell(code)).map(|told| told.ending);
        let Some(first) = end("exit 7") else { return };
        assert_eq!(first, Some(Ending::Exited(7)), "{user:?}");
        assert_eq!(end("kill -9 $$"), Some(Some(Ending::Signal(9))), "{user:?}");
        assert_eq!(end("kill -6 $$"), Some(Some(Ending::Signal(6))), "{user:?}");
        let mut missing = shell("");
        missing.program = "/usr/bin/nothing-of-this-name".into();
        let told = run(user, &missing).expect("there is a sandbox");
        let Some(Ending::Failed(failure)) = told.ending else { panic!("{told:?}") };
        assert!(failure.to_string().starts_with("cannot start `/usr/bin/nothing"), "{failure}");
    }
}

/// A job that leaves a process behind which no longer belongs to it in any way that a shell knows.
fn daemon(word: &str) -> String {
    format!(
        "
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open('/dev/null', os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(3600)', '{word}'])
    os._exit(0)
os.wait()
"
    )
}

/// Mutation: wait for the children only, or end the group instead of the namespace.
#[test]
fn a_daemon_ends_with_its_job() {
    for (number, user) in users().into_iter().enumerate() {
        let word = format!("isonomy-test-daemon-{}-{number}", std::process::id());
        if run(user, &python(&daemon(&word))).is_none() {
            return;
        }
        assert_eq!(find_process(&word), None, "{user:?}");
    }
}

/// A job that never ends, once its daemon runs.
fn endless(word: &str) -> String {
    format!("{}\ntime.sleep(3600)", daemon(word))
}

/// Waits until the process is there. It is the site's doing, so the site says when it is too late.
fn wait_for_process(site: &mut Site, word: &str) -> Option<Pid> {
    loop {
        if let Some(number) = find_process(word) {
            return Pid::from_raw(i32::try_from(number).expect("a process number"));
        }
        if site.child.try_wait().expect("it is ours").is_some() {
            return None;
        }
        std::thread::yield_now();
    }
}

/// Mutation: let a cancel end the script's process only.
#[test]
fn a_cancel_ends_everything_at_once() {
    for (number, user) in users().into_iter().enumerate() {
        let word = format!("isonomy-test-cancel-{}-{number}", std::process::id());
        let mut site = Site::start(user, &python(&endless(&word)), &[]);
        let Some(_) = wait_for_process(&mut site, &word) else {
            assert!(site.end().is_none(), "it ends only where there is no sandbox");
            return;
        };
        let told = site.cancel().expect("there is a sandbox");
        assert_eq!(told.ending, None, "{user:?}");
        assert_eq!(find_process(&word), None, "{user:?}");
    }
}

/// Mutation: have the inside watch its maker instead of the site.
#[test]
fn the_end_of_the_site_is_the_end_of_its_jobs() {
    for (number, user) in users().into_iter().enumerate() {
        let word = format!("isonomy-test-killed-{}-{number}", std::process::id());
        let mut site = Site::start(user, &python(&endless(&word)), &[]);
        let Some(pid) = wait_for_process(&mut site, &word) else {
            assert!(site.end().is_none(), "it ends only where there is no sandbox");
            return;
        };
        let daemon = pidfd_open(pid, PidfdFlags::empty()).expect("it runs");
        site.child.kill().expect("it is ours");
        // Readable when the process has ended; a test that waits for ever has failed.
        let mut fds = [PollFd::from_borrowed_fd(daemon.as_fd(), PollFlags::IN)];
        poll(&mut fds, None).expect("the daemon ends");
        site.child.wait().expect("it has ended");
    }
}

/// Mutation: give two jobs one user, one folder or one table of processes.
#[test]
fn jobs_at_once_know_nothing_of_each_other() {
    let jobs: Vec<Site> = (0..6)
        .map(|number| {
            let code = format!(
                "echo {number} > mine; ls /work /tmp; cat mine; ls /proc | grep -c '^[0-9]'"
            );
            Site::start(User::Own, &shell(&code), &[])
        })
        .collect();
    for (number, job) in jobs.into_iter().enumerate() {
        let Some(told) = job.end() else { return };
        let lines: Vec<_> = told.stdout.lines().collect();
        assert_eq!(lines[..5], ["/tmp:", "", "/work:", "mine", &number.to_string()], "{told:?}");
    }
}

/// Without walls there is no more than the orphans' way home to find them by.
///
/// Mutation: end the children of the script's own group only.
#[test]
fn without_a_sandbox_a_daemon_ends_too() {
    let word = format!("isonomy-test-unconfined-{}", std::process::id());
    let site = Site::start(User::Own, &python(&daemon(&word)), &[("UNCONFINED", "1")]);
    let told = site.end().expect("it needs no sandbox");
    assert_eq!(told.ending, Some(Ending::Exited(0)), "{told:?}");
    assert_eq!(find_process(&word), None);
}

/// Mutation: start the interpreter before the limits hold.
#[test]
fn limits_are_those_of_the_job() {
    let code = "
import resource as r
for name in ['RLIMIT_CORE', 'RLIMIT_AS', 'RLIMIT_DATA', 'RLIMIT_FSIZE', 'RLIMIT_NOFILE', 'RLIMIT_CPU']:
    print(name, *r.getrlimit(getattr(r, name)))
";
    let mib = 1024 * 1024;
    let (memory, scratch) = (256 * mib, 8 * mib);
    check(
        &python(code),
        &format!(
            "RLIMIT_CORE 0 0\nRLIMIT_AS {memory} {memory}\nRLIMIT_DATA {memory} {memory}\n\
             RLIMIT_FSIZE {scratch} {scratch}\nRLIMIT_NOFILE 64 64\nRLIMIT_CPU 20 20\n"
        ),
    );
}
