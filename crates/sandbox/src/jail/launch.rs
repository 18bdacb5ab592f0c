//! The site's side: starting a job, and ending it.

use std::collections::BTreeSet;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as Pair;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::door;
use super::init::JAIL;
use super::job::{
    ENDING_BYTES_MAX, Ending, Failure, Job, Making, NOT_READY, ORDER_BYTES_MAX, Order, READY,
    READY_WITH_DOOR,
};
use super::probe::{self, ProbeError};
use crate::protocol::header;

/// An inside that is not ready after this long will not be.
const START_MAX: Duration = Duration::from_secs(20);

/// What is left when process 1 has ended is ended by the kernel, which takes no time.
const END_MAX: Duration = Duration::from_secs(10);

/// Users of whom nothing is known: above every range that systems give away to people, services
/// and containers.
const USERS_FIRST: u32 = 0x7000_0000;

/// Jobs that one site can run at once. Each has a user of its own, so that none counts against the
/// processes of another.
const USERS: u32 = 256;

/// Starts jobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Jail(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    program: PathBuf,
    way: Way,
    users: Mutex<BTreeSet<u32>>,
}

#[derive(Debug)]
enum Way {
    ByRoot,
    ByUser,
    Unconfined,
}

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("cannot start a process for it: {0}")]
    Spawn(#[source] io::Error),
    #[error("cannot make a sandbox for it: it {0}")]
    Made(Failure),
    #[error("its code, input and arguments are larger than {} MiB", ORDER_BYTES_MAX >> 20)]
    TooLarge,
    #[error("{USERS} jobs run already")]
    Full,
    #[error("the sandbox ended before it began")]
    Gone,
}

/// A job at work. Dropping it ends it, and all that it has started.
#[derive(Debug)]
pub struct Running {
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
    /// The inside's only way out; nobody gets out unless somebody accepts here.
    pub door: Option<TcpListener>,
    control: UnixStream,
    child: Child,
    /// Given back when the job has ended.
    _held: Held,
}

/// What belongs to one job while it runs.
#[derive(Debug)]
enum Held {
    Nothing,
    User(#[expect(dead_code, reason = "held, not read")] User),
    Folder(#[expect(dead_code, reason = "held, not read")] tempfile::TempDir),
}

/// A user that no other job has.
#[derive(Debug)]
struct User {
    number: u32,
    jail: Arc<Inner>,
}

impl Jail {
    /// Tries whether this system allows a sandbox, by making one.
    ///
    /// `program` is our own binary.
    pub async fn probe(program: PathBuf) -> Result<Self, ProbeError> {
        let is_root = rustix::process::geteuid().is_root();
        let way = if is_root { Way::ByRoot } else { Way::ByUser };
        let jail = Self::new(program, way);
        probe::check(&jail).await?;
        Ok(jail)
    }

    /// Without any wall. For owners who have said so.
    #[must_use]
    pub fn unconfined(program: PathBuf) -> Self {
        Self::new(program, Way::Unconfined)
    }

    fn new(program: PathBuf, way: Way) -> Self {
        Self(Arc::new(Inner { program, way, users: Mutex::default() }))
    }

    #[must_use]
    pub fn is_confined(&self) -> bool {
        !matches!(self.0.way, Way::Unconfined)
    }

    pub(super) fn program(&self) -> &PathBuf {
        &self.0.program
    }

    /// Starts a job. Ready when the sandbox stands and the interpreter is about to start.
    pub async fn start(&self, job: Job) -> Result<Running, LaunchError> {
        let (making, held) = self.making()?;
        let order = serde_json::to_vec(&Order { making, job }).expect("our own types have JSON");
        if order.len() > ORDER_BYTES_MAX {
            return Err(LaunchError::TooLarge);
        }
        let (ours, theirs) = Pair::pair().map_err(LaunchError::Spawn)?;
        ours.set_nonblocking(true).map_err(LaunchError::Spawn)?;
        let mut child = Command::new(&self.0.program)
            .arg(JAIL)
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(LaunchError::Spawn)?;
        let control = UnixStream::from_std(ours).map_err(LaunchError::Spawn)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else { return Err(LaunchError::Gone) };
        let mut running = Running { stdout, stderr, door: None, control, child, _held: held };
        let begun = timeout(START_MAX, running.begin(&order)).await;
        running.door = begun.unwrap_or(Err(LaunchError::Gone))?;
        Ok(running)
    }

    fn making(&self) -> Result<(Making, Held), LaunchError> {
        Ok(match &self.0.way {
            Way::ByUser => (Making::ByUser, Held::Nothing),
            Way::Unconfined => {
                let folder = tempfile::Builder::new()
                    .prefix("isonomy-script-")
                    .tempdir()
                    .map_err(LaunchError::Spawn)?;
                (Making::Unconfined { folder: folder.path().to_owned() }, Held::Folder(folder))
            }
            Way::ByRoot => {
                let user = User::take(&self.0).ok_or(LaunchError::Full)?;
                (Making::ByRoot { user: user.number }, Held::User(user))
            }
        })
    }
}

impl User {
    fn take(jail: &Arc<Inner>) -> Option<Self> {
        let first = first_user();
        let mut users = jail.users.lock().unwrap_or_else(PoisonError::into_inner);
        let number = (first..first + USERS).find(|user| !users.contains(user))?;
        users.insert(number);
        Some(Self { number, jail: jail.clone() })
    }
}

/// The first of this site's users.
fn first_user() -> u32 {
    // Two sites of one host have different process numbers, and so different users.
    let site = std::process::id() & 0x000F_FFFF;
    let first = USERS_FIRST + site * USERS;
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if last_users(&map).is_none_or(|last| last >= first + USERS) {
        return first;
    }
    // Root of a container, perhaps, to whom few users belong: those at the end are the least used.
    last_users(&map).map_or(first, |last| last.saturating_sub(USERS + CONTAINER_USERS_KEPT))
}

/// At the end of what a container has stand `nobody` and its kind.
const CONTAINER_USERS_KEPT: u32 = 1_024;

/// The end of the largest range of users that exist here.
fn last_users(map: &str) -> Option<u32> {
    let ranges = map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().flat_map(str::parse::<u64>);
        let (first, _, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some((count, first + count))
    });
    ranges.max().map(|(_, end)| u32::try_from(end).unwrap_or(u32::MAX))
}

impl Drop for User {
    fn drop(&mut self) {
        let mut users = self.jail.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.remove(&self.number);
    }
}

impl Running {
    async fn begin(&mut self, order: &[u8]) -> Result<Option<TcpListener>, LaunchError> {
        // Where it has ended already, what it has said is still there to be read.
        let _ = self.send(order).await;
        let (byte, fd) = self.receive().await.map_err(LaunchError::Spawn)?;
        match byte {
            Some(READY_WITH_DOOR) => {
                let door = TcpListener::from(fd.ok_or(LaunchError::Gone)?);
                door.set_nonblocking(true).map_err(LaunchError::Spawn)?;
                Ok(Some(door))
            }
            Some(READY) => Ok(None),
            Some(NOT_READY) => match self.frame().await {
                Some(failure) => Err(LaunchError::Made(failure)),
                None => Err(LaunchError::Gone),
            },
            Some(_) | None => Err(LaunchError::Gone),
        }
    }

    async fn send(&mut self, order: &[u8]) -> io::Result<()> {
        self.control.write_all(&header(order.len())?).await?;
        self.control.write_all(order).await
    }

    async fn receive(&self) -> io::Result<(Option<u8>, Option<OwnedFd>)> {
        self.control.async_io(Interest::READABLE, || door::receive(self.control.as_fd())).await
    }

    async fn frame<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        let length = self.control.read_u32_le().await.ok()? as usize;
        if length > ENDING_BYTES_MAX {
            return None;
        }
        let mut frame = vec![0; length];
        self.control.read_exact(&mut frame).await.ok()?;
        serde_json::from_slice(&frame).ok()
    }

    /// How the job has ended; nothing where the sandbox was ended from outside. Whatever the job has
    /// left running is ended by then.
    pub async fn ended(&mut self) -> Option<Ending> {
        let ending = self.frame().await;
        // Its end is the end of everything inside.
        if timeout(END_MAX, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        ending
    }

    /// Ends the job and all that it has started. What it has written can still be read.
    pub async fn kill(&mut self) {
        // Process 1 ends when it sees the site's end close.
        let _ = self.control.shutdown().await;
        if timeout(END_MAX, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// The process outside that stands for the job.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a user that a container does not have.
    #[test]
    fn users_are_those_that_exist_here() {
        let check = |map: &str, end: Option<u32>| assert_eq!(last_users(map), end, "{map}");
        check("         0          0 4294967295\n", Some(4_294_967_295));
        check("         0     100000      65536\n", Some(65_536));
        check("0 1000 1\n1 100000 65536\n", Some(65_537));
        check("", None);
    }
}
