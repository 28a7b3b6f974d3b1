//! A clock that a test turns forward and back, for one process: libfaketime is loaded into it.

use std::process::Command;

/// What a process takes for the time. Durations go on as they do.
pub struct Clock {
    file: tempfile::NamedTempFile,
    library: String,
}

impl Clock {
    /// A clock that is so many seconds ahead, or behind.
    pub fn ahead_by(seconds: i64) -> Self {
        // The program of the package knows where the library is.
        let said = Command::new("faketime").args(["-m", "-f", "+0s", "printenv", "LD_PRELOAD"]).output();
        let said = said.expect("faketime is installed: tests/run sees to it").stdout;
        let library = String::from_utf8(said).expect("is a path").trim().to_owned();
        assert!(library.contains("faketime"), "faketime does not say where its library is: {library:?}");
        let clock = Self { file: tempfile::NamedTempFile::new().expect("a temporary file"), library };
        clock.turn(seconds);
        clock
    }

    /// From now on it is so many seconds ahead of the true time, or behind it.
    pub fn turn(&self, seconds: i64) {
        std::fs::write(self.file.path(), format!("{seconds:+}s\n")).expect("is written");
    }

    /// What a process must be started with to take it for the time.
    pub fn variables(&self) -> [(&'static str, &str); 4] {
        let file = self.file.path().to_str().expect("is a text");
        [
            ("LD_PRELOAD", self.library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    }
}
