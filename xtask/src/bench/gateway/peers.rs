//! Other gateways, from their registries: LiteLLM (PyPI) and Portkey (npm). Neither governs anything here but
//! LiteLLM its master key.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::place::{Ending, GREETING, Place, Target, on_core};

const LITELLM_PORT: u16 = 21_304;
const PORTKEY_PORT: u16 = 21_303;

/// From the start to the first connection: one of them reads half of the world first.
const START_TIME_MAX: Duration = Duration::from_secs(120);

/// Between two looks whether it listens.
const LOOK: Duration = Duration::from_millis(200);

pub struct Peers {
    pub targets: Vec<Target>,
    _processes: Vec<Ending>,
}

/// Installs what is not there yet, and starts both.
pub fn start(folder: &Path, place: &Place) -> anyhow::Result<Peers> {
    let folder = folder.join("peers/gateways");
    std::fs::create_dir_all(&folder).context("cannot make a folder for peers")?;
    let (portkey, one) = portkey(&folder, &place.upstream)?;
    let (litellm, other) = litellm(&folder, &place.upstream)?;
    Ok(Peers { targets: vec![portkey, litellm], _processes: vec![one, other] })
}

fn portkey(folder: &Path, upstream: &str) -> anyhow::Result<(Target, Ending)> {
    let script = "node_modules/@portkey-ai/gateway/build/start-server.js";
    if !folder.join(script).is_file() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--prefix", ".", "--no-save", "--no-audit", "@portkey-ai/gateway"]);
        succeed(npm.current_dir(folder), "cannot install Portkey with npm")?;
    }
    let mut command = on_core(0, "node".as_ref());
    command.arg(script).arg(format!("--port={PORTKEY_PORT}")).arg("--headless");
    let headers = vec![
        "authorization: Bearer sk-none".to_owned(),
        "x-portkey-provider: openai".to_owned(),
        format!("x-portkey-custom-host: http://{upstream}/v1"),
    ];
    started("Portkey", command.current_dir(folder), PORTKEY_PORT, headers)
}

fn litellm(folder: &Path, upstream: &str) -> anyhow::Result<(Target, Ending)> {
    let program = folder.join("venv/bin/litellm");
    if !program.is_file() {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "venv"]).current_dir(folder);
        succeed(&mut venv, "cannot make a virtual environment")?;
        let mut pip = Command::new(folder.join("venv/bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "litellm[proxy]"]);
        succeed(&mut pip, "cannot install LiteLLM with pip")?;
    }
    let config = format!(
        "model_list:\n  - model_name: free\n    litellm_params: {{model: openai/free, api_base: 'http://{upstream}/v1', api_key: sk-none}}\nlitellm_settings: {{telemetry: false}}\ngeneral_settings: {{master_key: sk-bench}}\n"
    );
    std::fs::write(folder.join("litellm.yaml"), config).context("cannot write a configuration")?;
    let mut command = on_core(0, &program);
    command.args(["--config", "litellm.yaml", "--host", "127.0.0.1", "--num_workers", "1"]);
    command.arg("--port").arg(LITELLM_PORT.to_string()).current_dir(folder);
    command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("LITELLM_MODE", "PRODUCTION");
    command.env("LITELLM_LOG", "ERROR").env("DO_NOT_TRACK", "1");
    let headers = vec!["authorization: Bearer sk-bench".to_owned()];
    started("LiteLLM", &mut command, LITELLM_PORT, headers)
}

fn started(
    name: &str,
    command: &mut Command,
    port: u16,
    headers: Vec<String>,
) -> anyhow::Result<(Target, Ending)> {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = Ending(child.with_context(|| format!("cannot start {name}"))?);
    let (host, began) = (format!("127.0.0.1:{port}"), Instant::now());
    while TcpStream::connect(&host).is_err() {
        let ended = child.0.try_wait().context("our own child")?;
        ensure!(ended.is_none(), "{name} ended at its start");
        ensure!(began.elapsed() < START_TIME_MAX, "{name} does not listen");
        sleep(LOOK);
    }
    let pid = child.0.id();
    let name = name.to_owned();
    let (model, content) = ("free", GREETING);
    Ok((Target { name, host, pid, headers, model, content, is_slow: false }, child))
}

fn succeed(command: &mut Command, what: &'static str) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().context(what)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {}", said.trim());
    Ok(())
}
