//! The lines of the log, as text for people and as JSON for programs. Each carries the ids of the request that it is
//! about.

use std::borrow::Cow;
use std::fmt::{self, Debug, Write as _};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use coffer_core::request_ids::RequestIds;

/// Where lines about refusals come from.
pub const REFUSALS: &str = "coffer::refusal";

/// How the log is written, as set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON anywhere else: there a program reads it.
    #[default]
    Auto,
    Text,
    Json,
}

/// How the log is written, as it was found to be right for where it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    #[default]
    Plain,
    /// Text in the colours of a terminal.
    Coloured,
    /// One object a line.
    Json,
}

impl LogFormat {
    /// `wants_colours` is false where the user has set `NO_COLOR`: see <https://no-color.org>.
    pub fn style(self, is_terminal: bool, wants_colours: bool) -> Style {
        match self {
            Self::Json => Style::Json,
            Self::Auto if !is_terminal => Style::Json,
            Self::Auto | Self::Text if is_terminal && wants_colours => Style::Coloured,
            Self::Auto | Self::Text => Style::Plain,
        }
    }
}

/// Writes events of [`tracing`] as lines.
pub struct Lines {
    style: Style,
    text: Format<Full, SystemTime>,
}

impl Lines {
    pub fn new(style: Style) -> Self {
        // Colours are for people: in a file, programs that look for a word would not find it.
        Self { style, text: Format::default().with_ansi(style == Style::Coloured) }
    }

    /// The usual line of tracing-subscriber, with the ids behind it.
    fn write_text<S, N>(&self, context: &FmtContext<'_, S, N>, event: &Event<'_>) -> Result<String, fmt::Error>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
        N: for<'a> FormatFields<'a> + 'static,
    {
        let mut line = String::new();
        self.text.format_event(context, Writer::new(&mut line), event)?;
        let mut line = self.in_one_line(line.trim_end_matches('\n'));
        for (name, id) in RequestIds::current().iter().flat_map(named) {
            write!(line, " {name}={id}")?;
        }
        Ok(line)
    }

    /// An error message of a database, say, may contain a line break. The text after it would look like a line that the bank has
    /// written.
    fn in_one_line(&self, line: &str) -> String {
        let is_colour = |sign| sign == '\u{1b}' && self.style == Style::Coloured;
        let mut escaped = String::with_capacity(line.len());
        for sign in line.chars() {
            if sign.is_control() && !is_colour(sign) {
                escaped.extend(sign.escape_default());
            } else {
                escaped.push(sign);
            }
        }
        escaped
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let line = match self.style {
            Style::Json => {
                let mut line = JsonLine::default();
                event.record(&mut line);
                line.finish(*event.metadata().level(), event.metadata().target())
            }
            Style::Plain | Style::Coloured => self.write_text(context, event)?,
        };
        writeln!(writer, "{line}")
    }
}

/// A line, without its end, about what is no event: a panic, or lines that are missing. In text it is the message alone.
pub fn error_line(style: Style, target: &str, message: &str) -> String {
    match style {
        Style::Json => JsonLine { message: message.to_owned(), ..JsonLine::default() }.finish(Level::ERROR, target),
        Style::Plain | Style::Coloured => message.to_owned(),
    }
}

/// The ids under the names that they have in every line.
fn named(ids: &RequestIds) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
    let trace_id = ids.trace().trace_id().map(Cow::from);
    [("request_id", Some(ids.own().into())), ("client_request_id", ids.client().map(Cow::from)), ("trace_id", trace_id)]
        .into_iter()
        .filter_map(|(name, id)| Some((name, id?)))
}

/// One object: `timestamp`, `level`, `target`, `message`, the event's fields, and the ids of the request.
#[derive(Default)]
struct JsonLine {
    message: String,
    /// Of a line that came by the crate `log`: where it was written.
    target: Option<String>,
    /// The other members, each with a comma before it.
    members: Vec<u8>,
}

impl JsonLine {
    fn finish(mut self, level: Level, target: &str) -> String {
        for (name, id) in RequestIds::current().iter().flat_map(named) {
            self.add(name, &id);
        }
        let mut timestamp = String::new();
        let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
        let mut line = Self::default();
        line.add("timestamp", &timestamp);
        line.add("level", level.as_str());
        line.add("target", self.target.as_deref().unwrap_or(target));
        line.add("message", &self.message);
        line.members.extend(&self.members);
        line.members.push(b'}');
        line.members[0] = b'{';
        String::from_utf8(line.members).unwrap_or_default()
    }

    fn add(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.members.push(b',');
        // Neither a string nor a number can fail, nor can writing to memory.
        let _ = serde_json::to_writer(&mut self.members, name);
        self.members.push(b':');
        let _ = serde_json::to_writer(&mut self.members, value);
    }

    fn add_text(&mut self, field: &Field, text: &str) {
        match field.name() {
            "message" => text.clone_into(&mut self.message),
            "log.target" => self.target = Some(text.to_owned()),
            _ => self.add_field(field, text),
        }
    }

    /// Leaves out what the crate `log` says of the place in the code.
    fn add_field(&mut self, field: &Field, value: &(impl Serialize + ?Sized)) {
        if !field.name().starts_with("log.") {
            self.add(field.name().trim_start_matches("r#"), value);
        }
    }
}

impl Visit for JsonLine {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add_text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add_field(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add_field(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add_field(field, &value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.add_field(field, &value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.add_field(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add_field(field, &value);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use axum::http::Request;
    use serde_json::Value;

    use super::*;
    use coffer_core::request_ids::REQUEST_ID;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("unpoisoned").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged meanwhile in this style.
    fn logged(style: Style, act: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt().event_format(Lines::new(style)).with_writer(move || writer.clone());
        tracing::subscriber::with_default(subscriber.finish(), act);
        let bytes = written.0.lock().expect("unpoisoned").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn ids(client: &'static str) -> RequestIds {
        RequestIds::of(&Request::builder().header(REQUEST_ID, client).body(()).expect("a request"))
    }

    #[test]
    fn a_line_of_json_is_one_object_with_the_names_that_collectors_know() {
        let ids = ids("{\"level\":\"ERROR\"}");
        let hostile = "a \"b\"\n\u{1b}[31m\u{2028}{\"message\":\"x\"}";
        let text = logged(Style::Json, || {
            ids.sync_scope(|| tracing::warn!(target: "coffer::test", count = 3_u128, log.line = 7, ok = true, share = 0.5, name = hostile, "{hostile}"));
        });
        let (line, rest) = text.split_once('\n').expect("a line");
        assert_eq!(rest, "");
        let value: Value = serde_json::from_str(line).expect("JSON");
        let names: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
        let expected = [
            "timestamp",
            "level",
            "target",
            "message",
            "count",
            "ok",
            "share",
            "name",
            "request_id",
            "client_request_id",
        ];
        assert_eq!(names, expected);
        assert_eq!((&value["level"], &value["target"]), (&"WARN".into(), &"coffer::test".into()));
        assert_eq!((&value["message"], &value["name"]), (&hostile.into(), &hostile.into()));
        assert_eq!((&value["count"], &value["ok"], &value["share"]), (&3.into(), &true.into(), &0.5.into()));
        assert_eq!(
            (value["request_id"].as_str(), value["client_request_id"].as_str()),
            (Some(ids.own()), ids.client())
        );
        let moment = value["timestamp"].as_str().expect("text");
        assert!(moment.ends_with('Z') && moment.parse::<jiff::Timestamp>().is_ok(), "{moment}");
    }

    #[test]
    fn a_line_of_text_stays_one_whatever_is_in_it() {
        let hostile = "gone\r\n2026-12-01T00:00:00Z  WARN coffer::sign_in: failed sign-in from 192.0.2.1: wrong password\u{1b}[2K";
        let error = io::Error::other(hostile);
        let text = logged(Style::Plain, || tracing::warn!(%error, name = hostile, "{hostile}"));
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.contains(['\r', '\u{1b}']) && text.ends_with('\n'), "{text}");
    }

    #[test]
    fn a_line_of_text_ends_with_the_ids() {
        let (with, without) = (ids("mine-7"), "a line of no request");
        let text = logged(Style::Plain, || {
            with.sync_scope(|| tracing::info!(count = 3, "of a request"));
            tracing::info!("{without}");
        });
        let lines: Vec<_> = text.lines().collect();
        let expected = format!("of a request count=3 request_id={} client_request_id=mine-7", with.own());
        assert!(lines[0].ends_with(&expected), "{text}");
        assert!(lines[1].ends_with(without), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(logged(Style::Coloured, || tracing::info!("red")).contains('\u{1b}'));
    }

    #[test]
    fn a_program_reads_json_and_a_terminal_shows_text() {
        use LogFormat::{Auto, Json, Text};
        for (format, is_terminal, wants_colours, style) in [
            (Auto, true, true, Style::Coloured),
            (Auto, true, false, Style::Plain),
            (Auto, false, true, Style::Json),
            (Text, true, true, Style::Coloured),
            (Text, true, false, Style::Plain),
            (Text, false, true, Style::Plain),
            (Json, true, true, Style::Json),
            (Json, false, false, Style::Json),
        ] {
            assert_eq!(format.style(is_terminal, wants_colours), style, "{format:?} {is_terminal} {wants_colours}");
        }
    }

    #[test]
    fn what_is_no_event_is_one_line_too() {
        let panic = "thread 'x' panicked\n  at y";
        let value: Value = serde_json::from_str(&error_line(Style::Json, "coffer::panic", panic)).expect("JSON");
        assert_eq!((&value["message"], &value["level"]), (&panic.into(), &"ERROR".into()));
        assert_eq!(error_line(Style::Plain, "coffer::panic", panic), panic);
    }
}
