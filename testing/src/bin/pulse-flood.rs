//! An attacking process: see `pulse_e2e::flood`, which starts it.

fn main() {
    // After the program's name and `SUBCOMMAND`.
    pulse_e2e::flood::attack(&std::env::args().skip(2).collect::<Vec<_>>());
}
