//! Names that a test gives to addresses, for one process: libnss_wrapper is loaded into it, and reads a file of its own in
//! the place of /etc/hosts.

use std::time::Duration;

/// What a process takes for the names of hosts.
pub struct Names {
    file: tempfile::NamedTempFile,
}

impl Names {
    /// Names with these addresses, such as `127.0.0.2 somewhere`.
    pub fn of(lines: &[&str]) -> Self {
        let names = Self { file: tempfile::NamedTempFile::new().expect("a temporary file") };
        names.write(lines);
        names
    }

    /// From now on there are these.
    pub async fn set(&self, lines: &[&str]) {
        // The library looks at the file's time, in seconds, to see that it is another.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        self.write(lines);
    }

    fn write(&self, lines: &[&str]) {
        // As a whole or not at all: somebody may be reading it.
        let new = self.file.path().with_extension("new");
        std::fs::write(&new, lines.join("\n") + "\n").expect("is written");
        std::fs::rename(new, self.file.path()).expect("is renamed");
    }

    /// What a process must be started with to believe them.
    pub fn variables(&self) -> [(&'static str, &str); 2] {
        let file = self.file.path().to_str().expect("is a text");
        [("LD_PRELOAD", "libnss_wrapper.so"), ("NSS_WRAPPER_HOSTS", file)]
    }
}
