//! Columns of parquet files, also those that are compressed by Zstandard, as Hugging Face's and polars's are. The parquet crate reads
//! these by a library in C; here its page reader is told that pages are not compressed, and `ruzstd` unpacks what it gives.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use parquet::basic::CompressionCodec;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use ruzstd::decoding::StreamingDecoder;

/// The reader of a column of a row group.
///
/// # Errors
/// If the file is damaged.
pub(crate) fn reader(
    file: &Arc<File>,
    metadata: &ParquetMetaData,
    group: usize,
    column: usize,
) -> Result<ColumnReader> {
    let group = metadata.row_group(group);
    let chunk = group.column(column);
    let rows = usize::try_from(group.num_rows())?;
    let descriptor = chunk.column_descr_ptr();
    if chunk.compression_codec() != CompressionCodec::ZSTD {
        let pages = SerializedPageReader::new(Arc::clone(file), chunk, rows, None)?;
        return Ok(get_column_reader(descriptor, Box::new(pages)));
    }
    let most = u64::try_from(chunk.uncompressed_size())?;
    let as_it_is =
        chunk.clone().into_builder().set_compression_codec(CompressionCodec::UNCOMPRESSED).build()?;
    let pages = SerializedPageReader::new(Arc::clone(file), &as_it_is, rows, None)?;
    Ok(get_column_reader(descriptor, Box::new(Unpacked { pages, most })))
}

/// What to say of a column whose compression is not built in; `None` of other errors.
pub(crate) fn unread(error: &ParquetError) -> Option<String> {
    match error {
        ParquetError::NYI(what) | ParquetError::General(what)
            if what.contains("feature must be enabled") || what.contains("Disabled feature") =>
        {
            Some(format!(
                "is compressed in a way that riesz does not read ({}); uncompressed and Snappy, LZ4, Gzip and Zstandard are read",
                one_line(what)
            ))
        }
        _ => None,
    }
}

/// An error's text without its line breaks.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Pages, unpacked.
struct Unpacked {
    pages: SerializedPageReader<File>,
    /// No page is larger than its whole column.
    most: u64,
}

impl Unpacked {
    /// The bytes behind the first `plain`, which are not compressed.
    fn unpack(&self, bytes: &[u8], plain: usize) -> Result<Vec<u8>> {
        let damaged = |what: String| ParquetError::General(format!("a page cannot be unpacked: {what}"));
        let (plain, packed) = bytes
            .split_at_checked(plain)
            .ok_or_else(|| damaged("its levels are longer than it".to_owned()))?;
        let mut all = plain.to_vec();
        if packed.is_empty() {
            return Ok(all);
        }
        let frame = StreamingDecoder::new(packed).map_err(|error| damaged(error.to_string()))?;
        frame.take(self.most + 1).read_to_end(&mut all).map_err(|error| damaged(error.to_string()))?;
        if all.len() as u64 > self.most {
            return Err(damaged(format!("it is larger than the {} bytes of its column", self.most)));
        }
        Ok(all)
    }

    fn unpacked(&self, mut page: Page) -> Result<Page> {
        match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => {
                *buf = self.unpack(buf, 0)?.into()
            }
            Page::DataPageV2 { buf, is_compressed, def_levels_byte_len, rep_levels_byte_len, .. } => {
                if *is_compressed {
                    let levels = *def_levels_byte_len as usize + *rep_levels_byte_len as usize;
                    *buf = self.unpack(buf, levels)?.into();
                }
                *is_compressed = false;
            }
        }
        Ok(page)
    }
}

impl Iterator for Unpacked {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Unpacked {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.map(|page| self.unpacked(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}
