//! Every line that the gateway logs, at the finest level, kept for the thread that caused it.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Begins to keep them.
pub(crate) fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_ansi(false)
            .without_time()
            .with_writer(Keeper)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// Those since the last time.
pub(crate) fn take() -> Vec<String> {
    LINES.take()
}

struct Keeper;

impl<'a> MakeWriter<'a> for Keeper {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl io::Write for Keeper {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| {
            lines.push(String::from_utf8_lossy(line).trim_end().to_owned());
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
