//! A reader of debug sections that stops when it has read enough.
//!
//! Debug sections are a guest's, and a few kilobytes of them can ask for years of work: thousands of units may all refer
//! to one line program, or functions to one list of ranges. So everything is read through a [`Metered`], all of which
//! share one [`Meter`]. When that is used up every further read fails, which is what ends the work.

use std::borrow::Cow;
use std::cell::Cell;

use gimli::{EndianSlice, LittleEndian, Reader, ReaderOffsetId, Result};

/// How much may still be done.
#[derive(Debug)]
pub(super) struct Meter(Cell<u64>);

/// A part of a section.
#[derive(Clone, Debug)]
pub(super) struct Metered<'a> {
    bytes: EndianSlice<'a, LittleEndian>,
    meter: &'a Meter,
}

impl Meter {
    /// A meter for so many steps, each about as much work as reading a number.
    pub(super) fn new(steps: u64) -> Meter {
        Meter(Cell::new(steps))
    }

    /// Takes note of some steps.
    ///
    /// # Errors
    /// When no more are left.
    pub(super) fn charge(&self, steps: usize) -> Result<()> {
        let left = self.0.get().checked_sub(steps as u64);
        self.0.set(left.unwrap_or_default());
        left.map(|_| ()).ok_or(gimli::Error::UnexpectedEof(ReaderOffsetId(0)))
    }
}

impl<'a> Metered<'a> {
    pub(super) fn new(bytes: &'a [u8], meter: &'a Meter) -> Metered<'a> {
        Metered { bytes: EndianSlice::new(bytes, LittleEndian), meter }
    }

    /// The bytes, which are not metered.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes.slice()
    }
}

/// Bytes that cost one step when they are copied or searched.
const BYTES_A_STEP: usize = 16;

impl Reader for Metered<'_> {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn empty(&mut self) {
        self.bytes.empty();
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        self.bytes.truncate(len)
    }

    fn offset_from(&self, base: &Self) -> usize {
        self.bytes.offset_from(base.bytes)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        self.bytes.offset_id()
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        self.bytes.lookup_offset_id(id)
    }

    fn find(&self, byte: u8) -> Result<usize> {
        let found = self.bytes.find(byte);
        self.meter.charge(found.unwrap_or(self.bytes.len()) / BYTES_A_STEP)?;
        found.ok_or(gimli::Error::UnexpectedEof(self.offset_id()))
    }

    fn skip(&mut self, len: usize) -> Result<()> {
        self.meter.charge(1)?;
        self.bytes.skip(len)
    }

    fn split(&mut self, len: usize) -> Result<Self> {
        self.meter.charge(1)?;
        Ok(Metered { bytes: self.bytes.split(len)?, meter: self.meter })
    }

    fn to_slice(&self) -> Result<Cow<'_, [u8]>> {
        Ok(self.bytes.slice().into())
    }

    fn to_string(&self) -> Result<Cow<'_, str>> {
        self.meter.charge(self.bytes.len() / BYTES_A_STEP)?;
        self.bytes.to_string().map(Cow::from)
    }

    fn to_string_lossy(&self) -> Result<Cow<'_, str>> {
        self.meter.charge(self.bytes.len() / BYTES_A_STEP)?;
        Ok(self.bytes.to_string_lossy())
    }

    fn read_slice(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.meter.charge(1 + buffer.len() / BYTES_A_STEP)?;
        self.bytes.read_slice(buffer)
    }
}
