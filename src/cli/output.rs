//! Standard output and standard error. A line that cannot be written, or that nobody reads, ends nothing and holds
//! nothing up: what is lost is the line.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::log_lines::{Style, error_line};

/// Lines that wait for a reader who is slow; later ones are dropped and counted. About a megabyte.
const MAX_WAITING: usize = 8_192;
/// How long the end of the process waits for a reader to take what is left.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The most that is written at once: a pipe takes it whole (PIPE_BUF), so that no line is torn apart by those of another
/// process.
const MAX_PIECE: usize = 4_096;

/// Standard error of a process that works on while it logs.
pub static LOG: LazyLock<&Queue> = LazyLock::new(|| Queue::start(io::stderr(), style_of_log()));
/// Standard output of the same.
pub static TERMINAL: LazyLock<&Queue> = LazyLock::new(|| Queue::start(io::stdout(), Style::Plain));

static STYLE_OF_LOG: OnceLock<Style> = OnceLock::new();

/// Says how the log is written, before its first line.
pub fn set_style_of_log(style: Style) {
    let _ = STYLE_OF_LOG.set(style);
}

pub fn style_of_log() -> Style {
    STYLE_OF_LOG.get().copied().unwrap_or_default()
}

/// A line on standard output. That nobody reads it any more is no reason to stop.
pub fn tell(line: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// A line on standard error.
pub fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The text that a command was asked for, on standard output. A reader who has seen enough (`| head`) is no error; a full
/// disk is.
pub fn deliver(text: &str) -> io::Result<()> {
    let mut output = io::stdout();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Something that is shown once and is nowhere else, such as a password: whoever makes it must know that it was written.
pub fn reveal(text: &str) -> io::Result<()> {
    let mut output = io::stdout();
    writeln!(output, "{text}").and_then(|()| output.flush()).map_err(|error| {
        let reason =
            format!("what is shown only now cannot be written to standard output, so it does not count: {error}");
        io::Error::new(error.kind(), reason)
    })
}

/// Panics are logged like everything else. The standard hook writes to standard error itself, and a reader who has stopped
/// reading would hold up the thread that panicked.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let backtrace = Backtrace::capture();
        let mut text = format!("thread '{}' {panic}", thread.name().unwrap_or("unnamed"));
        if backtrace.status() == BacktraceStatus::Captured {
            text.push_str(&format!("\n{backtrace}"));
        }
        LOG.line(&error_line(style_of_log(), "coffer::panic", &text));
    }));
}

/// Waits a moment, until what was queued is written.
pub fn flush() {
    TERMINAL.flush();
    LOG.flush();
}

/// Lines on their way to a stream that may be slow, stuck, full or closed. A thread of its own writes them, so that no
/// other one ever waits for a terminal, a pipe or a disk.
///
/// Not `tracing_appender::non_blocking`: its guard reports a queue that it cannot flush with `println!`, which panics if
/// standard output is gone as well.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    lost: u64,
    is_writing: bool,
}

impl Queue {
    /// Its thread lives as long as the process.
    fn start(stream: impl Write + Send + 'static, style: Style) -> &'static Self {
        let queue: &'static Self = Box::leak(Box::default());
        // Without a thread the lines wait, and are counted as lost when there are too many.
        let _ = thread::Builder::new().name("log".to_owned()).spawn(move || queue.write_to(stream, style));
        queue
    }

    /// Queues a line; adds the line feed.
    pub fn line(&self, line: &str) {
        self.push(format!("{line}\n").into_bytes());
    }

    fn push(&self, bytes: Vec<u8>) {
        let mut state = self.lock();
        if state.waiting.len() < MAX_WAITING {
            state.waiting.push_back(bytes);
        } else {
            state.lost += 1;
        }
        drop(state);
        self.filled.notify_one();
    }

    fn flush(&self) {
        let state = self.lock();
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        drop(self.emptied.wait_timeout_while(state, FLUSH_TIMEOUT, is_busy));
    }

    fn write_to(&self, mut stream: impl Write, style: Style) {
        let mut state = self.lock();
        loop {
            state = self
                .filled
                .wait_while(state, |state| state.waiting.is_empty() && state.lost == 0)
                .unwrap_or_else(PoisonError::into_inner);
            let (lines, lost) = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.lost));
            state.is_writing = true;
            drop(state);
            write_lines(&mut stream, lines);
            if lost > 0 {
                let message = format!("coffer: {lost} lines are missing here, because nobody read them in time");
                let _ = writeln!(stream, "{}", error_line(style, "coffer::log", &message));
            }
            let _ = stream.flush();
            state = self.lock();
            state.is_writing = false;
            self.emptied.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some at a time: each write is a call of the system.
fn write_lines(stream: &mut impl Write, lines: VecDeque<Vec<u8>>) {
    let mut piece = Vec::with_capacity(MAX_PIECE);
    for line in lines {
        if piece.len() + line.len() > MAX_PIECE {
            let _ = stream.write_all(&piece);
            piece.clear();
        }
        piece.extend(line);
    }
    let _ = stream.write_all(&piece);
}

/// One event of the log comes as one call.
impl Write for &Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
