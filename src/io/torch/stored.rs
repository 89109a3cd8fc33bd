//! The zip container as PyTorch lays it out, for writing: records are stored, each starts at a multiple of 64 bytes behind a
//! filling `FB` field, and sums and sizes follow the data. PyTorch may compute where a storage lies instead of looking it
//! up (`config.load.calculate_storage_offsets`), so that a general zip writer's layout would not do.

use flate2::Crc;
use std::io::{Result, Write};

/// Where records start.
pub const ALIGNMENT: u64 = 64;
/// From here on a size or place goes into a field of 64 bits.
const MAX: u64 = u32::MAX as u64;
/// Sums and sizes follow the data; names are UTF-8.
const FOLLOWS: u16 = 0x8;
const UTF8: u16 = 0x800;

/// An archive that is being written.
pub struct Writer<W> {
    out: W,
    at: u64,
    folder: String,
    records: Vec<Record>,
}

struct Record {
    name: String,
    crc: u32,
    size: u64,
    start: u64,
}

impl<W: Write> Writer<W> {
    /// An archive whose records lie in a folder.
    pub fn new(out: W, folder: &str) -> Writer<W> {
        Writer { out, at: 0, folder: folder.to_string(), records: Vec::new() }
    }

    /// Appends a record.
    pub fn add(&mut self, name: &str, data: &[u8]) -> Result<()> {
        let mut crc = Crc::new();
        crc.update(data);
        let record =
            Record { name: format!("{}/{name}", self.folder), crc: crc.sum(), size: data.len() as u64, start: self.at };
        let wide = record.wide();
        let before = self.at + 30 + record.name.len() as u64 + wide.len() as u64 + 4;
        let padding = before.next_multiple_of(ALIGNMENT) - before;
        let mut head = b"PK\x03\x04".to_vec();
        put16(&mut head, &[0, record.flags(), 0, 0, 0]);
        put32(&mut head, &[0, 0, 0]);
        put16(&mut head, &[record.name.len() as u16, wide.len() as u16 + 4 + padding as u16]);
        head.extend(record.name.as_bytes());
        head.extend(&wide);
        head.extend(b"FB");
        put16(&mut head, &[padding as u16]);
        head.resize(head.len() + padding as usize, b'Z');
        self.write(&head)?;
        self.write(data)?;
        if !data.is_empty() {
            let mut tail = b"PK\x07\x08".to_vec();
            put32(&mut tail, &[record.crc]);
            match wide.is_empty() {
                true => put32(&mut tail, &[record.size as u32; 2]),
                false => put64(&mut tail, &[record.size; 2]),
            }
            self.write(&tail)?;
        }
        self.records.push(record);
        Ok(())
    }

    /// Adds the record by which PyTorch tells files apart, then the directory. Its first half names the records, the second
    /// their contents; PyTorch fills the first from a hash of its standard library.
    pub fn finish(mut self) -> Result<W> {
        let names = self.records.iter().fold(0, |all, r| {
            let mut crc = Crc::new();
            crc.update(&r.name.as_bytes()[self.folder.len()..]);
            combine(all, crc.sum().into())
        });
        let contents = self.records.iter().filter(|r| r.size > 0).fold(0, |all, r| combine(all, r.crc.into()));
        self.add(".data/serialization_id", format!("{names:020}{contents:020}").as_bytes())?;

        let start = self.at;
        for r in std::mem::take(&mut self.records) {
            let wide = r.wide();
            let mut head = b"PK\x01\x02".to_vec();
            put16(&mut head, &[0, 0, r.flags(), 0, 0, 0]);
            let size = r.size.min(MAX) as u32;
            put32(&mut head, &[r.crc, size, size]);
            put16(&mut head, &[r.name.len() as u16, wide.len() as u16, 0, 0, 0]);
            put32(&mut head, &[0, r.start.min(MAX) as u32]);
            head.extend(r.name.as_bytes());
            head.extend(&wide);
            self.write(&head)?;
            self.records.push(r);
        }
        let (size, count, end) = (self.at - start, self.records.len() as u64, self.at);
        let mut tail = b"PK\x06\x06".to_vec();
        put64(&mut tail, &[44]);
        // made on Unix by version 3.0, to be read by version 4.5
        put16(&mut tail, &[0x031e, 45]);
        put32(&mut tail, &[0, 0]);
        put64(&mut tail, &[count, count, size, start]);
        tail.extend(b"PK\x06\x07");
        put32(&mut tail, &[0]);
        put64(&mut tail, &[end]);
        put32(&mut tail, &[1]);
        tail.extend(b"PK\x05\x06");
        let count = count.min(0xffff) as u16;
        put16(&mut tail, &[0, 0, count, count]);
        put32(&mut tail, &[size.min(MAX) as u32, start.min(MAX) as u32]);
        put16(&mut tail, &[0]);
        self.write(&tail)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

impl Record {
    fn flags(&self) -> u16 {
        if self.size > 0 { FOLLOWS | UTF8 } else { UTF8 }
    }

    /// The field of 64-bit numbers, where one does not fit into 32.
    fn wide(&self) -> Vec<u8> {
        let mut numbers = Vec::new();
        if self.size >= MAX {
            put64(&mut numbers, &[self.size; 2]);
        }
        if self.start >= MAX {
            put64(&mut numbers, &[self.start]);
        }
        if numbers.is_empty() {
            return numbers;
        }
        let mut field = Vec::new();
        put16(&mut field, &[1, numbers.len() as u16]);
        field.extend(numbers);
        field
    }
}

/// PyTorch's `hash_combine`.
fn combine(seed: u64, value: u64) -> u64 {
    seed ^ value.wrapping_add(0x9e37_79b9).wrapping_add(seed << 6).wrapping_add(seed >> 2)
}

fn put16(out: &mut Vec<u8>, numbers: &[u16]) {
    numbers.iter().for_each(|n| out.extend(n.to_le_bytes()));
}
fn put32(out: &mut Vec<u8>, numbers: &[u32]) {
    numbers.iter().for_each(|n| out.extend(n.to_le_bytes()));
}
fn put64(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|n| out.extend(n.to_le_bytes()));
}
