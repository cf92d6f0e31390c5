//! Child processes with a time limit: no test hangs on a program that does not end.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How often a child that has not ended is looked at again.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until a child ends, at most `limit`.
pub fn wait_exit(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("wait for a child") {
            return Some(status);
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

/// Runs a command to its end and collects what it wrote; kills it and panics at the limit.
///
/// # Panics
/// When the program cannot be started or does not end in time.
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Output {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {shown}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A child that ends without reading its input is no failure of ours.
    let feeder = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let out = drain(child.stdout.take().unwrap());
    let err = drain(child.stderr.take().unwrap());
    let Some(status) = wait_exit(&mut child, limit) else {
        child.kill().ok();
        child.wait().ok();
        panic!("{shown} did not end within {limit:?}");
    };
    feeder.join().unwrap();
    Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

fn drain(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        pipe.read_to_end(&mut all).ok();
        all
    })
}

/// Looks at a condition again and again until it holds; panics with `what` at the limit.
///
/// # Panics
/// When the condition does not hold in time.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(LOOK);
    }
}
