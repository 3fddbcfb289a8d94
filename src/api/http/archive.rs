//! Zip archives that are written while they are sent: what was taken is gone from memory, but for the names of the files.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use utoipa::openapi::schema::{KnownFormat, SchemaFormat};
use zip::ZipWriter;
use zip::result::ZipResult;
use zip::write::{SimpleFileOptions, StreamWriter};

use crate::api::http::error::{Error, Result};
use coffer_core::schema::{scalar_schema, string};

/// The bytes of an archive, for the OpenAPI document.
pub struct ZipFile;

scalar_schema!(ZipFile, "A zip archive.", string().format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary))));

/// An archive under way. Files follow each other; each is compressed by itself.
pub struct Archive {
    zip: ZipWriter<StreamWriter<Written>>,
    written: Written,
}

/// The bytes of the archive that nobody has taken yet.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Archive {
    pub fn begin() -> Self {
        let written = Written::default();
        Self { zip: ZipWriter::new_stream(written.clone()), written }
    }

    /// Ends the file before, and begins one that may be longer than 4 GiB.
    pub fn begin_file(&mut self, name: &str) -> Result<()> {
        self.zip.start_file(name, SimpleFileOptions::default().large_file(true)).map_err(failed)
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.zip.write_all(bytes).map_err(failed)
    }

    /// Takes the bytes that are ready to be sent. There may be none, because the compressor keeps some back.
    pub fn take(&mut self) -> Vec<u8> {
        self.written.take()
    }

    /// Ends the archive with the list of its files.
    pub fn finish(self) -> Result<Vec<u8>> {
        let ended: ZipResult<_> = self.zip.finish();
        ended.map_err(failed)?;
        Ok(self.written.take())
    }
}

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("an archive: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use zip::ZipArchive;

    use super::*;

    #[test]
    fn what_was_taken_piece_by_piece_is_an_archive() {
        let mut archive = Archive::begin();
        let mut all = Vec::new();
        let line = "one line of many, which are all alike\n".repeat(1_000);
        for name in ["a.txt", "b.txt"] {
            archive.begin_file(name).expect("a file");
            for _ in 0..100 {
                archive.write(line.as_bytes()).expect("a line");
                let piece = archive.take();
                assert!(piece.len() < line.len(), "nothing is kept that was taken");
                all.extend(piece);
            }
        }
        all.extend(archive.finish().expect("the end"));
        let mut read = ZipArchive::new(Cursor::new(all)).expect("an archive");
        let names: Vec<_> = read.file_names().map(|name| name.expect("a name").into_owned()).collect();
        assert_eq!(names, ["a.txt", "b.txt"]);
        let mut text = String::new();
        read.by_name("b.txt").expect("a file").read_to_string(&mut text).expect("text");
        assert_eq!(text, line.repeat(100));
    }
}
