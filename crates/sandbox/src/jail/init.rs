//! The inside's process 1, and what makes it.
//!
//! Our own binary, started again: a process with threads can neither enter a user namespace nor
//! fork safely. It says on its standard input, a socket, whether the inside could be made, and how
//! the script has ended; when the other end of that socket closes, it ends, and the kernel ends all
//! that is left of the inside with it.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::UnshareFlags;

use super::job::{
    Ending, Failure, Job, Making, NOT_READY, ORDER_BYTES_MAX, Order, READY, READY_WITH_DOOR,
};
use super::{door, rights, root, seccomp};
use crate::protocol::{read_frame, write_frame};

/// First argument of the binary when it is to make an inside. Hidden from its users.
pub const JAIL: &str = "__jail";

/// Who a script is where everybody makes their own user namespace. Nobody outside: there it is the
/// user of the site.
const USER_INSIDE: u32 = 1_000;

/// Where programs are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The order of the victims when memory runs out: these first.
const OUT_OF_MEMORY_FIRST: &str = "1000";

/// What `main` does, before anything else, when its first argument is [`JAIL`].
pub fn jail_child_main() -> ExitCode {
    crate::confine::close_inherited();
    let site = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(socket) => UnixStream::from(socket),
        Err(_) => return ExitCode::FAILURE,
    };
    let order: Option<Order> = read_frame(&mut &site, ORDER_BYTES_MAX)
        .ok()
        .flatten()
        .and_then(|frame| serde_json::from_slice(&frame).ok());
    let Some(Order { making, job }) = order else {
        eprintln!("`{JAIL}` is started by the program itself");
        return ExitCode::from(2);
    };
    let made = match &making {
        Making::ByRoot { .. } | Making::ByUser => separate(&making),
        Making::Unconfined { .. } => Ok(None),
    };
    let inside = match made {
        Ok(Some(inside)) => inside,
        Ok(None) => return process_one(&site, &making, job),
        Err(failure) => return refuse(&site, &failure),
    };
    // Outside of the new process names, and only there to be waited for. Its end is the inside's.
    drop(site);
    let _ = rustix::process::waitpid(Some(inside), WaitOptions::empty());
    ExitCode::SUCCESS
}

/// Enters the namespaces. Gives nothing in the new process 1, and its number in the old one.
fn separate(making: &Making) -> Result<Option<Pid>, Failure> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    // Best effort: a system without it has other ways to choose.
    let _ = fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY_FIRST);
    let mut spaces = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    if *making == Making::ByUser {
        spaces |= UnshareFlags::NEWUSER;
    }
    // SAFETY: the table of open files is not among what is separated, and there is one thread.
    #[allow(unsafe_code)]
    let separated = unsafe { rustix::thread::unshare_unsafe(spaces) };
    separated.map_err(io::Error::from).map_err(Failure::of("make namespaces"))?;
    if *making == Making::ByUser {
        let map = |number| format!("{USER_INSIDE} {number} 1");
        fs::write("/proc/self/setgroups", "deny")
            .and_then(|()| fs::write("/proc/self/gid_map", map(group.as_raw())))
            .and_then(|()| fs::write("/proc/self/uid_map", map(user.as_raw())))
            .map_err(Failure::of("map its user"))?;
    }
    // SAFETY: this process has one thread, so the child finds every lock free.
    #[allow(unsafe_code)]
    let forked = unsafe { libc::fork() };
    match forked {
        0 => Ok(None),
        number if number > 0 => Ok(Pid::from_raw(number)),
        _ => Err(Failure::of("fork")(io::Error::last_os_error())),
    }
}

fn refuse(site: &UnixStream, failure: &Failure) -> ExitCode {
    let told = door::send(site.as_fd(), NOT_READY, None).and_then(|()| say(site, failure));
    // Where nobody listens any more, nobody is missing the reason.
    drop(told);
    ExitCode::FAILURE
}

fn say(site: &UnixStream, what: &impl serde::Serialize) -> io::Result<()> {
    let frame = serde_json::to_vec(what).map_err(io::Error::other)?;
    write_frame(&mut &*site, &frame)
}

/// Makes the inside, runs the script, and ends when it or the site has ended.
fn process_one(site: &UnixStream, making: &Making, job: Job) -> ExitCode {
    let made = match make(site, making, &job) {
        Ok(made) => made,
        Err(failure) => return refuse(site, &failure),
    };
    if watch(site, making).is_err() {
        return ExitCode::FAILURE;
    }
    let ending = match start(job, &made, making) {
        Err(failure) => Ending::Failed(failure),
        Ok(script) => wait_for(script),
    };
    if matches!(making, Making::Unconfined { .. }) {
        end_descendants();
    }
    let _ = say(site, &ending);
    ExitCode::SUCCESS
}

/// What the script is started with.
struct Made {
    code: PathBuf,
    work: PathBuf,
    temporary: PathBuf,
    port: Option<u16>,
}

fn make(site: &UnixStream, making: &Making, job: &Job) -> Result<Made, Failure> {
    let user = match making {
        Making::ByRoot { user } => *user,
        Making::ByUser => USER_INSIDE,
        Making::Unconfined { folder } => return make_unconfined(site, folder, job),
    };
    rustix::system::sethostname(b"sandbox")
        .map_err(io::Error::from)
        .map_err(Failure::of("name itself"))?;
    let (listener, port) = door::open().map_err(Failure::of("open its door"))?;
    root::enter(job, user, rustix::process::geteuid().as_raw())?;
    rights::drop_bounding_set().map_err(Failure::of("give up capabilities for ever"))?;
    if let Making::ByRoot { user } = making {
        rights::become_user(*user).map_err(Failure::of("become another user"))?;
    }
    rights::drop_capabilities().map_err(Failure::of("give up its capabilities"))?;
    // Nothing inside may look into this process or trace it.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .and_then(|()| rustix::process::set_parent_process_death_signal(Some(Signal::KILL)))
        .map_err(io::Error::from)
        .map_err(Failure::of("protect itself"))?;
    door::send(site.as_fd(), READY_WITH_DOOR, Some(&listener))
        .map_err(Failure::of("hand out its door"))?;
    let code = Path::new(root::CODE).join(&job.file);
    Ok(Made { code, work: root::WORK.into(), temporary: "/tmp".into(), port: Some(port) })
}

fn make_unconfined(site: &UnixStream, folder: &Path, job: &Job) -> Result<Made, Failure> {
    let (code, work) = (folder.join("script"), folder.join("work"));
    root::write_code(&code, job).map_err(Failure::of("write the code"))?;
    fs::create_dir_all(&work).map_err(Failure::of("make a working folder"))?;
    rustix::process::setsid()
        .map(drop)
        // Whatever a script leaves behind becomes a child of this process, and is found.
        .and_then(|()| rustix::process::set_child_subreaper(Some(rustix::process::getpid())))
        .map_err(io::Error::from)
        .map_err(Failure::of("gather what it starts"))?;
    door::send(site.as_fd(), READY, None).map_err(Failure::of("say that it is ready"))?;
    let code = code.join(&job.file);
    Ok(Made { code, temporary: work.clone(), work, port: None })
}

/// On a thread of its own, since nothing is known of when the site ends.
fn watch(site: &UnixStream, making: &Making) -> io::Result<()> {
    let mut site = site.try_clone()?;
    let unconfined = matches!(making, Making::Unconfined { .. });
    let watcher = std::thread::Builder::new().spawn(move || {
        // The site says nothing more, so this is its end.
        let _ = site.read(&mut [0]);
        if unconfined {
            end_descendants();
        }
        std::process::exit(1);
    });
    watcher.map(drop)
}

fn start(job: Job, made: &Made, making: &Making) -> Result<Pid, Failure> {
    let stdin = standard_input(&job.stdin).map_err(Failure::of("hand over its input"))?;
    let limits = job.limits;
    let confined = !matches!(making, Making::Unconfined { .. });
    let mut script = Command::new(&job.program);
    script
        .arg(&made.code)
        .args(&job.arguments)
        .env_clear()
        .envs(own_environment(made))
        .envs(job.environment)
        .current_dir(&made.work)
        .stdin(stdin);
    // SAFETY: between fork and exec only calls of the kernel are made; the filter's memory comes
    // from an allocator that no other thread holds, since the watcher only reads.
    #[allow(unsafe_code)]
    unsafe {
        script.pre_exec(move || {
            if confined {
                rustix::process::setsid()?;
            }
            rights::limit(&limits)?;
            if confined { seccomp::refuse_calls(limits.count_addresses) } else { Ok(()) }
        });
    }
    let step = || format!("start `{}`", job.program.display());
    let child = script.spawn().map_err(|error| Failure::of(step())(error))?;
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    number.ok_or_else(|| Failure::of(step())(io::Error::other("it has no number")))
}

/// What every script finds, before what its author adds.
fn own_environment(made: &Made) -> Vec<(&'static str, String)> {
    let path = |path: &Path| path.display().to_string();
    let mut all = vec![
        ("PATH", PATH.to_owned()),
        ("HOME", path(&made.work)),
        ("TMPDIR", path(&made.temporary)),
        ("USER", "script".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        // Output is followed while it is written, and nothing beside the code is kept.
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
    ];
    if let Some(port) = made.port {
        let door = format!("http://127.0.0.1:{port}");
        let names = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
        all.extend(names.map(|name| (name, door.clone())));
        all.push(("NODE_USE_ENV_PROXY", "1".to_owned()));
    }
    all
}

/// In memory, so that nobody has to stand by and write while the script reads.
fn standard_input(text: &str) -> io::Result<Stdio> {
    if text.is_empty() {
        return Ok(Stdio::null());
    }
    let file = rustix::fs::memfd_create("stdin", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = fs::File::from(file);
    file.write_all(text.as_bytes())?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

/// Waits for the script, and takes in what it has left behind on the way.
fn wait_for(script: Pid) -> Ending {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == script => {
                let status = ExitStatus::from_raw(status.as_raw());
                let number = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
                return match (status.code(), status.signal()) {
                    (Some(code), _) => Ending::Exited(number(code)),
                    (None, signal) => Ending::Signal(number(signal.unwrap_or_default())),
                };
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                return Ending::Failed(Failure::of("wait for the script")(error.into()));
            }
        }
    }
}

/// How often the children are looked for. One that forks faster than it is killed wins no more.
const SWEEPS_MAX: u32 = 1_000;

/// Without a namespace of their own, what a script has started is found as children of this
/// process, to which the system gives every orphan.
fn end_descendants() {
    for _ in 0..SWEEPS_MAX {
        let list = children();
        if list.is_empty() {
            return;
        }
        for child in list {
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
        // Waits for one at least, so that the next look finds the orphans that it leaves.
        let _ = rustix::process::wait(WaitOptions::empty());
    }
}

fn children() -> Vec<Pid> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let numbers: Vec<i32> = lists
        .flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
        .collect();
    numbers.into_iter().filter_map(Pid::from_raw).collect()
}
