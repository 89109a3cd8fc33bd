//! The trace format of Chrome's `chrome://tracing` and of Perfetto: a JSON array of complete events
//! (docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU).

use super::{Event, Track};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes of text that are kept before they are written.
const KEEP: usize = 1 << 20;

/// A trace file that is whole JSON after each flush.
pub struct File {
    file: std::fs::File,
    /// Where the closing bracket stands.
    end: u64,
    text: Text,
}

impl File {
    pub fn create(path: &Path) -> io::Result<File> {
        let mut f = File { file: std::fs::File::create(path)?, end: 0, text: Text::default() };
        f.flush()?;
        Ok(f)
    }

    pub fn push(&mut self, e: &Event) {
        self.text.event(e);
        if self.text.out.len() >= KEEP {
            // an error stays and comes out of the next flush
            let _ = self.flush();
        }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        if self.end > 0 && self.text.out.is_empty() {
            return Ok(());
        }
        if self.end == 0 {
            self.text.out.insert(0, '[');
        }
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(self.text.out.as_bytes())?;
        self.file.write_all(b"\n]\n")?;
        self.end += self.text.out.len() as u64;
        self.text.out.clear();
        Ok(())
    }
}

/// Writes events as a trace file.
pub fn write(path: &Path, events: &[Event]) -> io::Result<()> {
    let mut f = File::create(path)?;
    events.iter().for_each(|e| f.push(e));
    f.flush()
}

#[derive(Default)]
struct Text {
    out: String,
    named: BTreeSet<Track>,
    comma: bool,
}

impl Text {
    fn begin(&mut self) {
        self.out.push_str(if self.comma { ",\n" } else { "\n" });
        self.comma = true;
    }

    fn event(&mut self, e: &Event) {
        let (tid, track) = match e.track {
            Track::Thread(n) => (u64::from(n), format!("thread {n}")),
            // after every thread
            Track::Gpu(n) => (1_000_000 + n as u64, format!("gpu:{n}")),
        };
        if self.named.insert(e.track) {
            self.begin();
            // writing to a String cannot fail
            let _ = write!(
                self.out,
                r#"{{"ph":"M","name":"thread_name","pid":1,"tid":{tid},"args":{{"name":"{track}"}}}}"#
            );
        }
        self.begin();
        let us = |d: std::time::Duration| d.as_nanos() as f64 / 1e3;
        let _ = write!(
            self.out,
            r#"{{"ph":"X","name":"{}","cat":"{}","pid":1,"tid":{tid},"ts":{:.3},"dur":{:.3},"args":{{"thread":{}"#,
            escape(&e.name),
            e.kind.name(),
            us(e.start),
            us(e.duration),
            e.thread
        );
        if let Some(label) = &e.label {
            let _ = write!(self.out, r#","kernel":"{}""#, escape(label));
        }
        for (name, n) in [("bytes", e.work.bytes), ("flops", e.work.flops)] {
            if n > 0 {
                let _ = write!(self.out, r#","{name}":{n}"#);
            }
        }
        self.out.push_str("}}");
    }
}

fn escape(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
