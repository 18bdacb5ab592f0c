//! A site that does nothing but run one job, for the tests of the jail: as any user, from outside.
//!
//! It reads the job as one line of JSON, says on its standard output how the job ended and what it
//! wrote, and ends the job early where its own input ends first.

use std::process::ExitCode;

use isonomy_sandbox::{Ending, Jail, Job};
use tokio::io::AsyncReadExt;

/// More than any test writes.
const OUTPUT_BYTES_MAX: u64 = 4 * 1024 * 1024;

fn main() -> ExitCode {
    if let Some(ended) = isonomy_sandbox::child_main() {
        return ended;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map(|runtime| runtime.block_on(run())) {
        Ok(Ok(said)) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Ok(Err(why)) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<serde_json::Value, String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| error.to_string())?;
    let job: Job = serde_json::from_str(&line).map_err(|error| error.to_string())?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let jail = match std::env::var_os("UNCONFINED") {
        Some(_) => Jail::unconfined(program),
        None => Jail::probe(program).await.map_err(|error| format!("no sandbox: {error}"))?,
    };
    let mut running = jail.start(job).await.map_err(|error| error.to_string())?;
    let (stdout, stderr) = (&mut running.stdout, &mut running.stderr);
    let mut out = Vec::new();
    let mut err = Vec::new();
    let (mut first, mut second) = (stdout.take(OUTPUT_BYTES_MAX), stderr.take(OUTPUT_BYTES_MAX));
    let both = async { tokio::join!(first.read_to_end(&mut out), second.read_to_end(&mut err)) };
    // The thread is left alone where the job ends first: the process ends then.
    let (gone, left) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        gone.send(())
    });
    let is_killed = tokio::select! {
        _ = both => false,
        _ = left => true,
    };
    let ending: Option<Ending> = if is_killed {
        running.kill().await;
        None
    } else {
        running.ended().await
    };
    Ok(serde_json::json!({
        "ending": ending,
        "stdout": String::from_utf8_lossy(&out),
        "stderr": String::from_utf8_lossy(&err),
    }))
}
