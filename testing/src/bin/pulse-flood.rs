//! An attacking process: see `pulse_e2e::flood`, which starts it.

fn main() {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    pulse_e2e::flood::attack(&arguments);
}
