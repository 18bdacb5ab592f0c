//! An evaluator and nothing else, for the tests of the pool. The product starts its own binary.

fn main() -> std::process::ExitCode {
    isonomy_sandbox::evaluate_child_main()
}
