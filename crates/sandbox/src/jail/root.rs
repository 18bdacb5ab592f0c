//! The inside's own tree of files: empty but for what a program needs to run.
//!
//! An allow-list. Whatever is not named here does not exist inside: no home, no data folder, no
//! configuration of the host, no socket of any service.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, mount_remount, unmount,
};

use super::job::{Failure, Job, Shown};

/// Where the code lies.
pub(super) const CODE: &str = "/script";

/// Where a script works. It is gone when the script has ended.
pub(super) const WORK: &str = "/work";

/// Folders with programs and libraries.
const SYSTEM: [&str; 8] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix/store"];

/// Single files and folders without which programs do not find their libraries, the certificates of
/// the world, or the time.
const CONFIGURATION: [&str; 12] = [
    "etc/ld.so.cache",
    "etc/ld.so.conf",
    "etc/ld.so.conf.d",
    "etc/alternatives",
    "etc/localtime",
    "etc/mime.types",
    "etc/ssl/certs",
    "etc/ssl/openssl.cnf",
    "etc/ca-certificates",
    "etc/pki/tls/certs",
    "etc/pki/ca-trust/extracted",
    "etc/crypto-policies",
];

const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// The tree itself holds a few names and the code.
const TREE_BYTES: u64 = 128 * 1024 * 1024;

/// Files in the working folder. Each is kernel memory, which no other limit counts.
const SCRATCH_FILES_MAX: u64 = 65_536;

/// Mounted over in a name space of its own, so that nobody else sees it. Every system has it.
const STAGE: &str = "/tmp";

/// Makes the tree and moves into it. Everything of the host is gone afterwards.
pub(super) fn enter(job: &Job, user: u32, owner: u32) -> Result<(), Failure> {
    let stage = |step: &'static str| Failure::of(step);
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(io::Error::from)
        .map_err(stage("keep its mounts to itself"))?;
    tmpfs(Path::new(STAGE), TREE_BYTES, 0o755).map_err(stage("mount an empty root"))?;
    fs::create_dir(format!("{STAGE}/host")).map_err(stage("make a folder for the host's root"))?;
    fs::create_dir(format!("{STAGE}/new")).map_err(stage("make a folder for the new root"))?;
    rustix::process::pivot_root(STAGE, format!("{STAGE}/host"))
        .map_err(io::Error::from)
        .map_err(stage("change its root"))?;
    std::env::set_current_dir("/").map_err(stage("go to its root"))?;
    let tree = Tree { new: PathBuf::from("/new"), host: PathBuf::from("/host") };
    tree.fill(job, user, owner)?;
    // The tree must be a mount of its own to become the root.
    mount_bind_recursive("/new", "/new")
        .map_err(io::Error::from)
        .map_err(stage("bind its root"))?;
    std::env::set_current_dir("/new").map_err(stage("go to its root"))?;
    rustix::process::pivot_root(".", ".")
        .map_err(io::Error::from)
        .map_err(stage("change its root once more"))?;
    unmount(".", UnmountFlags::DETACH)
        .map_err(io::Error::from)
        .map_err(stage("let go of the host's root"))?;
    std::env::set_current_dir(WORK).map_err(stage("go to its working folder"))?;
    only_reading(Path::new("/"), false).map_err(stage("make its root read-only"))
}

/// Whether every job sees it.
pub(super) fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|folder| path.starts_with(Path::new("/").join(folder)))
}

struct Tree {
    new: PathBuf,
    host: PathBuf,
}

impl Tree {
    fn fill(&self, job: &Job, user: u32, owner: u32) -> Result<(), Failure> {
        for path in SYSTEM {
            self.system(path).map_err(Failure::of(format!("show `/{path}`")))?;
        }
        for path in CONFIGURATION {
            let shown = Shown::as_is(PathBuf::from(format!("/{path}")));
            if self.host.join(path).exists() {
                self.show(&shown).map_err(Failure::of(format!("show `/{path}`")))?;
            }
        }
        self.proc().map_err(Failure::of("mount `/proc`"))?;
        self.devices().map_err(Failure::of("make `/dev`"))?;
        self.scratch(job.limits.scratch_bytes, user, owner)
            .map_err(Failure::of("make a working folder"))?;
        self.names(user).map_err(Failure::of("write `/etc`"))?;
        for shown in &job.shown {
            let step = format!("show `{}`", shown.host.display());
            self.show(shown).map_err(Failure::of(step))?;
        }
        write_code(&self.new.join(&CODE[1..]), job).map_err(Failure::of("write the code"))
    }

    /// A folder of the system: a mount, or the link that it is on systems with one folder for all.
    fn system(&self, path: &str) -> io::Result<()> {
        let (from, to) = (self.host.join(path), self.new.join(path));
        match fs::symlink_metadata(&from) {
            Err(_) => Ok(()),
            Ok(found) if found.is_symlink() => symlink(fs::read_link(&from)?, to),
            Ok(_) => {
                DirBuilder::new().recursive(true).create(&to)?;
                bind(&from, &to)
            }
        }
    }

    fn show(&self, shown: &Shown) -> io::Result<()> {
        let from = self.host.join(relative(&shown.host));
        let to = self.new.join(relative(&shown.inside));
        // A link may lead out of what is shown, so it is followed on the host's side.
        let from = self.resolve(&from)?;
        let is_folder = fs::metadata(&from)?.is_dir();
        if to.exists() && fs::metadata(&to)?.is_dir() && !is_folder {
            return Err(io::Error::other("a folder stands in its place"));
        }
        if let Some(above) = to.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(above)?;
        }
        if is_folder {
            DirBuilder::new().recursive(true).mode(0o755).create(&to)?;
        } else if !to.exists() {
            File::create(&to)?;
        }
        bind(&from, &to)
    }

    /// Follows links as the host would, although its root stands elsewhere now.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        /// As many as the system itself follows.
        const LINKS_MAX: usize = 40;
        let mut rest: Vec<PathBuf> = relative_to(path, &self.host)
            .components()
            .rev()
            .map(|it| it.as_os_str().into())
            .collect();
        let mut found = self.host.clone();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == Path::new("..") {
                if found != self.host {
                    found.pop();
                }
                continue;
            }
            let next = found.join(&part);
            if !fs::symlink_metadata(&next)?.is_symlink() {
                found = next;
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(io::Error::other("too many links"));
            }
            let target = fs::read_link(&next)?;
            if target.is_absolute() {
                found.clone_from(&self.host);
            }
            rest.extend(
                relative(&target).components().rev().map(|it| PathBuf::from(it.as_os_str())),
            );
        }
        Ok(found)
    }

    fn proc(&self) -> io::Result<()> {
        let to = self.new.join("proc");
        fs::create_dir(&to)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        Ok(mount("proc", &to, "proc", flags, None)?)
    }

    fn devices(&self) -> io::Result<()> {
        let dev = self.new.join("dev");
        fs::create_dir(&dev)?;
        for name in DEVICES {
            let to = dev.join(name);
            File::create(&to)?;
            mount_bind(self.host.join("dev").join(name), &to)?;
        }
        for (name, to) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")]
        {
            symlink(format!("/proc/self/{to}"), dev.join(name))?;
        }
        Ok(())
    }

    /// One small file system in memory, seen under three names, so that one limit holds for all.
    fn scratch(&self, bytes: u64, user: u32, owner: u32) -> io::Result<()> {
        let room = Path::new("/room");
        fs::create_dir(room)?;
        tmpfs(room, bytes, 0o755)?;
        for (name, to) in [("work", WORK), ("tmp", "/tmp"), ("shm", "/dev/shm")] {
            let from = room.join(name);
            DirBuilder::new().mode(0o700).create(&from)?;
            if owner != user {
                chown(&from, Some(user), Some(user))?;
            }
            let to = self.new.join(&to[1..]);
            fs::create_dir(&to)?;
            mount_bind(&from, &to)?;
        }
        Ok(())
    }

    /// Just enough for programs that ask who they are.
    fn names(&self, user: u32) -> io::Result<()> {
        let etc = self.new.join("etc");
        DirBuilder::new().recursive(true).create(&etc)?;
        let passwd = format!("script:x:{user}:{user}::{WORK}:/bin/sh\n");
        fs::write(etc.join("passwd"), passwd)?;
        fs::write(etc.join("group"), format!("script:x:{user}:\n"))?;
        fs::write(etc.join("hosts"), "127.0.0.1 localhost\n::1 localhost\n")?;
        fs::write(etc.join("nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files\n")
    }
}

/// The code, in a folder of its own: interpreters look for more code beside it.
pub(super) fn write_code(folder: &Path, job: &Job) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let file = folder.join(&job.file);
    fs::write(&file, &job.code)?;
    fs::set_permissions(&file, Permissions::from_mode(0o644))
}

fn tmpfs(at: &Path, bytes: u64, mode: u32) -> io::Result<()> {
    let options = format!("size={bytes},nr_inodes={SCRATCH_FILES_MAX},mode={mode:o}");
    let options = CString::new(options).expect("digits and letters");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("tmpfs", at, "tmpfs", flags, options.as_c_str())?)
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    mount_bind_recursive(from, to)?;
    only_reading(to, true)
}

/// Nothing can be written there, no file in it gives rights, and no device can be opened.
fn only_reading(path: &Path, recursive: bool) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let change = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY
            | libc::MOUNT_ATTR_NOSUID
            | if recursive { libc::MOUNT_ATTR_NODEV } else { 0 },
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let depth = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `name` ends with a zero, `change` is a `mount_attr` of the size that is given, and
    // both outlive the call.
    #[allow(unsafe_code)]
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            name.as_ptr(),
            depth,
            &raw const change,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::ENOSYS) {
        return Err(error);
    }
    // Before Linux 5.12 only one mount at a time can be changed.
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID;
    Ok(mount_remount(path, flags, c"")?)
}

fn relative(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, Component::RootDir)).collect()
}

fn relative_to<'p>(path: &'p Path, root: &Path) -> &'p Path {
    path.strip_prefix(root).unwrap_or(path)
}
