//! Completions for bash, zsh and fish.

use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;
use pulse_usage::{Opt, Usage, Value};
use std::path::PathBuf;

/// Each program's three scripts, below a directory for each shell.
pub(crate) fn files() -> Vec<(PathBuf, String)> {
    let programs = [
        command(&pulse_sensor_proxy::USAGE),
        command(&pulse_sensor_node::USAGE),
        pulse_sensorctl::command(),
    ];
    let shells = [
        (Shell::Bash, "bash", "", ""),
        (Shell::Zsh, "zsh", "_", ""),
        (Shell::Fish, "fish", "", ".fish"),
    ];
    let mut files = Vec::new();
    for program in programs {
        let name = program.get_name().to_owned();
        for (shell, directory, before, after) in shells {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut program.clone(), &name, &mut script);
            let path = format!("completions/{directory}/{before}{name}{after}");
            files.push((path.into(), String::from_utf8_lossy(&script).into_owned()));
        }
    }
    files
}

/// A clap command with the words of a table. It never parses: it is for completions only.
fn command<Id: Copy>(usage: &Usage<Id>) -> Command {
    let mut command = Command::new(usage.name)
        .about(usage.summary)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(usage.options.iter().map(argument));
    for entry in usage.commands {
        // Up to the alternatives; a word with a dash is no command.
        let words = entry.term.split(' ');
        let words: Vec<&str> = words
            .take_while(|word| !word.starts_with(['-', '[']))
            .collect();
        command = with_command(command, &words, entry.text);
    }
    command
}

/// The command with this path of commands below it.
fn with_command(command: Command, words: &[&'static str], text: &'static str) -> Command {
    let [word, rest @ ..] = words else {
        return command;
    };
    let is_known = command.find_subcommand(word).is_some();
    let command = if is_known {
        command
    } else {
        command.subcommand(
            Command::new(*word)
                .about(text)
                .disable_help_subcommand(true),
        )
    };
    command.mut_subcommand(*word, |inner| with_command(inner, rest, text))
}

fn argument<Id>(option: &Opt<Id>) -> Arg {
    let (mut short, mut long) = (None, None);
    for name in option.names {
        match name.strip_prefix("--") {
            Some(name) => long = Some(name),
            None => short = name.chars().nth(1),
        }
    }
    let argument = Arg::new(long.unwrap_or_default())
        .short(short)
        .long(long)
        .help(option.text)
        .global(true);
    match option.value {
        None => argument.action(ArgAction::SetTrue),
        Some(value @ (Value::File | Value::Directory)) => argument
            .value_name(value.name())
            .value_hint(if value == Value::File {
                ValueHint::FilePath
            } else {
                ValueHint::DirPath
            }),
        Some(Value::OneOf(name, words)) => argument.value_name(name).value_parser(words.to_vec()),
    }
}
