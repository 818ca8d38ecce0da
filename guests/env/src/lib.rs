//! Prints its arguments, its environment and its working directory, one a line.

use wasip3::cli::environment;

struct Env;

impl wasip3::exports::cli::run::Guest for Env {
    async fn run() -> Result<(), ()> {
        let mut text = String::new();
        for (i, arg) in environment::get_arguments().iter().enumerate() {
            text += &format!("arg {i}: {arg}\n");
        }
        for (key, value) in environment::get_environment() {
            text += &format!("env {key}={value}\n");
        }
        match environment::get_initial_cwd() {
            Some(cwd) => text += &format!("cwd: {cwd}\n"),
            None => text += "no cwd\n",
        }
        support::print(&text).await.map_err(drop)
    }
}

wasip3::cli::command::export!(Env);
