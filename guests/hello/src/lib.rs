//! Greets each name it is given, or the world.

struct Hello;

impl wasip3::exports::cli::run::Guest for Hello {
    async fn run() -> Result<(), ()> {
        let names = support::args();
        let text: String = if names.is_empty() {
            "Hello, world!\n".to_owned()
        } else {
            names.iter().map(|name| format!("Hello, {name}!\n")).collect()
        };
        support::print(&text).await.map_err(drop)
    }
}

wasip3::cli::command::export!(Hello);
