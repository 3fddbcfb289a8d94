//! Figures of this process, under the names that Prometheus' own clients give them.
//!
//! Not the crate metrics-process: it would bring twenty others, most of them for other systems.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// `USER_HZ` of proc(5): what Linux counts processor time in, whatever the kernel's own clock.
const TICKS_PER_SECOND: u64 = 100;
/// Of utime and stime in `/proc/self/stat`, counted from the state, which follows the name.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;

/// Notes when the process started, which is about now.
pub fn note_start() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("process_start_time_seconds").set(since.as_secs_f64());
}

/// Measures the process. What the system does not tell, as outside of Linux, is left out.
pub fn measure() {
    if let Some(ticks) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(processor_ticks) {
        // Whole seconds, because counters of the crate metrics are whole.
        metrics::counter!("process_cpu_seconds_total").absolute(ticks / TICKS_PER_SECOND);
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        for (name, field, unit) in [
            ("process_resident_memory_bytes", "VmRSS:", 1_024),
            ("process_virtual_memory_bytes", "VmSize:", 1_024),
            ("process_threads", "Threads:", 1),
        ] {
            if let Some(value) = number_of(&status, field) {
                metrics::gauge!(name).set((value * unit) as f64);
            }
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // The directory that is being read is one of them.
        metrics::gauge!("process_open_fds").set(files.count().saturating_sub(1) as f64);
    }
    if let Ok((most, _)) = rlimit::getrlimit(rlimit::Resource::NOFILE) {
        metrics::gauge!("process_max_fds").set(most as f64);
    }
}

/// The name stands in parentheses, and may have some itself, and spaces.
fn processor_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(ticks(USER_TICKS)? + ticks(SYSTEM_TICKS)?)
}

fn number_of(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_any_name_is_read() {
        let stat = "4242 (a) b (c) S 1 4242 4242 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 7 0 12345 1000000 300 rest";
        assert_eq!(processor_ticks(stat), Some(200));
        assert_eq!(processor_ticks("nonsense"), None);
        let status = "Name:\tcoffer\nVmSize:\t  2000 kB\nVmRSS:\t    1234 kB\nThreads:\t7\n";
        assert_eq!((number_of(status, "VmRSS:"), number_of(status, "Threads:")), (Some(1_234), Some(7)));
        assert_eq!(number_of(status, "VmSwap:"), None);
    }
}
