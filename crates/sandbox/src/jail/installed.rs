//! An interpreter as the host has it, and what of the host it needs to see.

use std::fs;
use std::path::{Path, PathBuf};

use super::job::Shown;
use super::root;

/// Links from a virtual environment to the program behind it.
const LINKS_MAX: usize = 16;

/// A program that can be started inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    pub program: PathBuf,
    /// Beside the folders of the system, which every job sees.
    pub shown: Vec<Shown>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotInstalled {
    #[error("write an absolute path")]
    Relative,
    #[error("there is no `{}`", .0.display())]
    Missing(PathBuf),
    #[error("`{}` is a folder without `bin/{name}`", folder.display())]
    NoEnvironment { folder: PathBuf, name: String },
    #[error("`{}` is not an executable file", .0.display())]
    NotExecutable(PathBuf),
}

impl Installed {
    /// The program at this path, or the one of this name in a virtual environment there.
    pub fn find(path: &Path, name: &str) -> Result<Self, NotInstalled> {
        if !path.is_absolute() {
            return Err(NotInstalled::Relative);
        }
        let program = match fs::metadata(path) {
            Err(_) => return Err(NotInstalled::Missing(path.to_owned())),
            Ok(found) if found.is_dir() => {
                let program = path.join("bin").join(name);
                if !program.exists() {
                    let (folder, name) = (path.to_owned(), name.to_owned());
                    return Err(NotInstalled::NoEnvironment { folder, name });
                }
                program
            }
            Ok(_) => path.to_owned(),
        };
        if !is_executable(&program) {
            return Err(NotInstalled::NotExecutable(program));
        }
        let mut shown = Vec::new();
        let mut at = program.clone();
        for _ in 0..LINKS_MAX {
            show_around(&at, &mut shown);
            let Ok(target) = fs::read_link(&at) else { break };
            at = at.parent().unwrap_or(Path::new("/")).join(target);
        }
        Ok(Self { program, shown })
    }
}

fn is_executable(program: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(program)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// A program below `PREFIX/bin` comes with its libraries; another one alone. The prefix itself is
/// not shown, since it may be somebody's home.
fn show_around(program: &Path, shown: &mut Vec<Shown>) {
    if root::is_system(program) {
        return;
    }
    let mut add = |path: PathBuf| {
        let one = Shown::as_is(path);
        if !shown.contains(&one) {
            shown.push(one);
        }
    };
    let folder = program.parent().filter(|folder| folder.ends_with("bin"));
    match folder.and_then(Path::parent).filter(|prefix| prefix.parent().is_some()) {
        Some(prefix) => {
            for name in ["bin", "lib", "lib64", "pyvenv.cfg"] {
                let path = prefix.join(name);
                if path.exists() {
                    add(path);
                }
            }
        }
        None => add(program.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: show the prefix itself, or what the system shows anyway.
    #[test]
    fn an_interpreter_is_shown_with_its_libraries_and_nothing_beside_them() {
        let system = Installed::find(Path::new("/bin/sh"), "sh").expect("every system has it");
        assert_eq!(system.shown, []);
        let home = std::env::temp_dir().join(format!("isonomy-installed-{}", std::process::id()));
        let make = |name: &str| fs::create_dir_all(home.join(name)).expect("a folder");
        ["env/bin", "env/lib", "real/bin", "real/lib", "real/secret"].into_iter().for_each(make);
        fs::write(home.join("env/pyvenv.cfg"), "").expect("a file");
        fs::copy("/bin/sh", home.join("real/bin/python3")).expect("a program");
        std::os::unix::fs::symlink("python3", home.join("real/bin/python")).expect("a link");
        std::os::unix::fs::symlink("../../real/bin/python", home.join("env/bin/python"))
            .expect("a link");
        let found = Installed::find(&home.join("env"), "python").expect("an environment");
        let shown: Vec<_> = found.shown.iter().map(|it| it.host.clone()).collect();
        fs::remove_dir_all(&home).expect("it is ours");
        assert_eq!(found.program, home.join("env/bin/python"));
        let lead = home.join("env/bin/../../real");
        assert_eq!(
            shown,
            [
                home.join("env/bin"),
                home.join("env/lib"),
                home.join("env/pyvenv.cfg"),
                lead.join("bin"),
                lead.join("lib"),
            ]
        );
    }

    /// Mutation: leave a check out.
    #[test]
    fn what_is_no_interpreter_is_refused_with_the_reason() {
        let check = |path: &str, expected: &str| {
            let found = Installed::find(Path::new(path), "python").expect_err(path);
            assert_eq!(found.to_string(), expected);
        };
        check("python3", "write an absolute path");
        check("/nowhere/python3", "there is no `/nowhere/python3`");
        check("/usr/lib", "`/usr/lib` is a folder without `bin/python`");
        check("/etc/passwd", "`/etc/passwd` is not an executable file");
    }
}
