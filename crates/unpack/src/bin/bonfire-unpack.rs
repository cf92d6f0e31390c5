//! The process that reads archives, as a program of its own: what tests and benchmarks start. The `bonfire` program has the
//! same within it.

fn main() -> std::process::ExitCode {
    bonfire_unpack::child::main()
}
