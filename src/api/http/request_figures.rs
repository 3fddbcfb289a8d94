//! How many requests there were and how long they took, by method, route and status.

use std::cell::RefCell;
use std::collections::HashMap;

use axum::http::StatusCode;
use metrics::{Counter, Histogram};

thread_local! {
    /// By route, then by method. The recorder finds a series by labels that it owns: to make them for each request takes
    /// longer than to count it, so each thread remembers what it was given.
    static SERIES: RefCell<HashMap<String, Vec<(&'static str, Series)>>> = RefCell::default();
}

/// The metrics of one route and method, as the recorder handed them out.
struct Series {
    duration: Histogram,
    by_status: Vec<(StatusCode, Counter)>,
}

/// Counts a request. Methods and routes must be few: each pair stays for ever.
pub fn count(method: &'static str, route: &str, status: StatusCode, seconds: f64) {
    SERIES.with_borrow_mut(|routes| {
        if !routes.contains_key(route) {
            routes.insert(route.to_owned(), Vec::new());
        }
        let Some(methods) = routes.get_mut(route) else { return };
        let place = methods.iter().position(|(known, _)| *known == method).unwrap_or_else(|| {
            methods.push((method, Series::new(method, route)));
            methods.len() - 1
        });
        methods[place].1.record(method, route, status, seconds);
    });
}

impl Series {
    fn new(method: &'static str, route: &str) -> Self {
        // Without the status: a histogram is a dozen series.
        let labels = [("method", method.to_owned()), ("route", route.to_owned())];
        let duration = metrics::histogram!("coffer_http_request_duration_seconds", &labels);
        Self { duration, by_status: Vec::new() }
    }

    fn record(&mut self, method: &'static str, route: &str, status: StatusCode, seconds: f64) {
        self.duration.record(seconds);
        if let Some((_, count)) = self.by_status.iter().find(|(known, _)| *known == status) {
            return count.increment(1);
        }
        let labels =
            [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.as_str().to_owned())];
        let count = metrics::counter!("coffer_http_requests_total", &labels);
        count.increment(1);
        self.by_status.push((status, count));
    }
}
