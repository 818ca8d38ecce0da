use proptest::prelude::*;
use tombolo_types::component::{FuncType, PtrWidth, TypeRef, Types};

use super::*;
use crate::abi::test_side::{Guest, Pair, Realloc, Same, assert_traps};
use crate::abi::translate::{Signature, translate_flat};
use crate::abi::{Bridge, TypeList};

const ENCODINGS: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::CompactUtf16];
const WIDTHS: [PtrWidth; 2] = [PtrWidth::Bits32, PtrWidth::Bits64];

/// All ways in which a guest can hold a text: the bytes and the length with its tag.
fn encodings_of(text: &str, encoding: Encoding, width: PtrWidth) -> Vec<(Vec<u8>, u64)> {
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let units = utf16.len() as u64 / 2;
    let latin1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    match encoding {
        Encoding::Utf8 => vec![(text.into(), text.len() as u64)],
        Encoding::Utf16 => vec![(utf16, units)],
        Encoding::CompactUtf16 => {
            let latin1 = latin1.map(|bytes| (bytes.clone(), bytes.len() as u64));
            latin1.into_iter().chain([(utf16, units | utf16_tag(width))]).collect()
        }
    }
}

/// Carries a string by its pointer and length; the answer is the pointer and length in the target.
fn translate(bridge: &mut dyn Bridge, ptr: u64, length: u64) -> Result<(u64, u64)> {
    let mut types = Types::new();
    let param = tombolo_types::component::Field { name: "s".into(), ty: TypeRef::String };
    let func = types.intern_func(FuncType { params: [param].into(), result: None, is_async: false });
    let side = Signature { types: &types, list: TypeList::Params(func), max_flat: 16 };
    let flat = translate_flat(bridge, side, &[ptr, length], side, None)?;
    Ok((flat.values()[0], flat.values()[1]))
}

fn load(guest: &mut Guest, ptr: u64, length: u64) -> Result<String> {
    load_string(&mut guest.lift(&Types::new()), ptr, length)
}

fn store_text(guest: &mut Guest, text: &str) -> Result<(u64, u64)> {
    store_string(&mut guest.lower(&Types::new()), text)
}

fn every_way(text: &str) {
    for (width, from) in WIDTHS.into_iter().flat_map(|width| ENCODINGS.map(|from| (width, from))) {
        let mut guest = Guest::new(width, from);
        let (ptr, length) = store_text(&mut guest, text).unwrap();
        assert_eq!(load(&mut guest, ptr, length).unwrap(), text, "host to {from:?}");
        for (bytes, length) in encodings_of(text, from, width) {
            let mut guest = Guest::new(width, from);
            let ptr = guest.put(&bytes);
            assert_eq!(load(&mut guest, ptr, length).unwrap(), text, "{from:?} to host");
            for (to_width, to) in WIDTHS.into_iter().flat_map(|width| ENCODINGS.map(|to| (width, to))) {
                for realloc in [Realloc::Honest, Realloc::Growing] {
                    let mut pair = Pair { source: Guest::new(width, from), target: Guest::new(to_width, to) };
                    pair.target.realloc = realloc;
                    let ptr = pair.source.put(&bytes);
                    let (ptr, length) = translate(&mut pair, ptr, length).unwrap();
                    assert_eq!(load(&mut pair.target, ptr, length).unwrap(), text, "{from:?} to {to:?}");
                }
            }
        }
    }
}

#[test]
fn strings_survive_every_pair_of_encodings() {
    for text in [
        "",
        "a",
        "hi",
        "\0",
        "a\0b",
        "\u{80}",
        "\u{80}b",
        "ab\u{ef}c",
        "\u{1ff}y",
        "xy\u{1ff}",
        "a\u{d7ff}b",
        "a\u{2ff}\u{3ff}\u{4ff}bc",
        "\u{f123}",
        "\u{f123}\u{f123}abc",
        "abcdef\u{f123}",
        "😀",
        "a😀é",
        "é😀a",
    ] {
        every_way(text);
    }
    // Across the borders of chunks, where a code point can be cut.
    for lead in 250..260 {
        for c in ["é", "€", "😀"] {
            every_way(&format!("{}{}{}", "a".repeat(lead), c, "é".repeat(300)));
            every_way(&format!("{}{}", "é".repeat(lead / 2), c.repeat(200)));
        }
    }
}

/// Code points on the border between two pieces, of which the second may be malformed.
#[test]
fn long_strings_are_looked_at_in_pieces() {
    let validate = |encoding, bytes: &[u8], length| {
        let mut guest = Guest::new(PtrWidth::Bits32, encoding);
        let ptr = guest.put(bytes);
        let range = StringRange::new(&guest.memory, guest.width, encoding, ptr, length)?;
        let result = range.validate(&guest);
        assert_eq!(guest.looks.get(), 1, "once between two pieces");
        result
    };
    for lead in PIECE - 4..=PIECE {
        for c in ["b", "é", "€", "😀"] {
            let text = format!("{}{}{}", "a".repeat(lead), c, "z".repeat(9));
            let mut guest = Guest::with_memory(text.as_bytes());
            assert!(load(&mut guest, 0, text.len() as u64).unwrap() == text);
            assert_eq!(validate(Encoding::Utf8, text.as_bytes(), text.len() as u64).unwrap(), text.len());
            let mut bad = text.clone().into_bytes();
            *bad.last_mut().unwrap() = 0xff;
            assert_traps(validate(Encoding::Utf8, &bad, bad.len() as u64), "invalid utf-8");
            let mut guest = Guest::with_memory(&bad);
            assert_traps(load(&mut guest, 0, bad.len() as u64), "invalid utf-8");

            let text = format!("{}{}{}", "a".repeat(lead / 2), c, "z".repeat(9));
            let units: Vec<u16> = text.encode_utf16().collect();
            let bytes: Vec<u8> = units.iter().copied().flat_map(u16::to_le_bytes).collect();
            assert_eq!(validate(Encoding::Utf16, &bytes, units.len() as u64).unwrap(), text.len());
            let mut bad = bytes;
            *bad.last_mut().unwrap() = 0xd8;
            assert_traps(validate(Encoding::Utf16, &bad, units.len() as u64), "invalid utf-16");
        }
    }
    // Nothing but what goes on.
    let bytes = vec![0x80; PIECE + 10];
    let mut guest = Guest::with_memory(&bytes);
    assert_traps(load(&mut guest, 0, bytes.len() as u64), "invalid utf-8");
}

/// … also while they are stored.
#[test]
fn interrupts_are_looked_for_in_every_pass() {
    let text = "a".repeat(PIECE + PIECE / 2);
    for (from, to) in ENCODINGS.into_iter().flat_map(|from| ENCODINGS.map(|to| (from, to))) {
        for (bytes, length) in encodings_of(&text, from, PtrWidth::Bits32) {
            let mut pair =
                Pair { source: Guest::new(PtrWidth::Bits32, from), target: Guest::new(PtrWidth::Bits32, to) };
            let ptr = pair.source.put(&bytes);
            let (ptr, length) = translate(&mut pair, ptr, length).unwrap();
            assert!(pair.source.looks.get() >= 1, "{from:?} to {to:?}");
            // What is copied as it is, is the bridge's to copy.
            let is_utf16 = bytes.len() > text.len();
            let is_copied = if to == Encoding::Utf16 { is_utf16 } else { from == to && !is_utf16 };
            assert_eq!(pair.target.looks.get() >= 2, !is_copied, "{from:?} to {to:?}");
            pair.target.looks.set(0);
            assert!(load(&mut pair.target, ptr, length).unwrap() == text);
            assert!(pair.target.looks.get() >= 1, "{to:?} to host");
        }
        let mut guest = Guest::new(PtrWidth::Bits32, to);
        store_text(&mut guest, &text).unwrap();
        assert!(guest.looks.get() >= 1, "host to {to:?}");
    }
    // Inflating what was Latin-1 until then.
    let mut guest = Guest::new(PtrWidth::Bits32, Encoding::CompactUtf16);
    store_text(&mut guest, &format!("{text}€")).unwrap();
    assert!(guest.looks.get() as usize >= text.len() / CHUNK + 2);
}

#[test]
fn a_latin1_result_is_chosen_where_it_is_enough() {
    for (text, latin1) in [("aé", true), ("aé€", false), ("", true)] {
        for from in ENCODINGS {
            for (bytes, length) in encodings_of(text, from, PtrWidth::Bits32) {
                let mut pair = Pair {
                    source: Guest::new(PtrWidth::Bits32, from),
                    target: Guest::new(PtrWidth::Bits32, Encoding::CompactUtf16),
                };
                let ptr = pair.source.put(&bytes);
                let (_, length) = translate(&mut pair, ptr, length).unwrap();
                assert_eq!(length & (1 << 31) == 0, latin1, "{text} from {from:?}");
            }
        }
    }
}

/// A text, how the source holds it and with what length, the target's encoding, the sizes that its `realloc` is asked
/// for as `[old size, alignment, new size]`, and the length that arrives.
type Passes<'a> = (&'a str, Encoding, u64, Encoding, &'a [[u64; 3]], u64);

#[test]
fn realloc_is_called_as_the_specification_says() {
    let tag = |n: u64| n | 1 << 31;
    use Encoding::{CompactUtf16 as Compact, Utf8, Utf16};
    let cases: &[Passes<'_>] = &[
        // store_string_copy
        ("aé", Utf8, 3, Utf8, &[[0, 1, 3]], 3),
        ("", Utf8, 0, Utf8, &[[0, 1, 0]], 0),
        ("aé", Utf16, 2, Utf16, &[[0, 2, 4]], 2),
        ("aé", Compact, 2, Utf16, &[[0, 2, 4]], 2),
        ("aé", Compact, 2, Compact, &[[0, 2, 2]], 2),
        // store_utf16_to_utf8, store_latin1_to_utf8
        ("ab", Utf16, 2, Utf8, &[[0, 1, 2]], 2),
        ("aé", Utf16, 2, Utf8, &[[0, 1, 2], [2, 1, 6], [6, 1, 3]], 3),
        ("€€", Utf16, 2, Utf8, &[[0, 1, 2], [2, 1, 6]], 6),
        ("aé", Compact, 2, Utf8, &[[0, 1, 2], [2, 1, 4], [4, 1, 3]], 3),
        ("éé", Compact, 2, Utf8, &[[0, 1, 2], [2, 1, 4]], 4),
        ("a€", Compact, tag(2), Utf8, &[[0, 1, 2], [2, 1, 6], [6, 1, 4]], 4),
        // store_utf8_to_utf16
        ("ab", Utf8, 2, Utf16, &[[0, 2, 4]], 2),
        ("aé", Utf8, 3, Utf16, &[[0, 2, 6], [6, 2, 4]], 2),
        // store_string_to_latin1_or_utf16
        ("ab", Utf8, 2, Compact, &[[0, 2, 2]], 2),
        ("aé", Utf8, 3, Compact, &[[0, 2, 3], [3, 2, 2]], 2),
        ("a€", Utf8, 4, Compact, &[[0, 2, 4], [4, 2, 8], [8, 2, 4]], tag(2)),
        ("a€", Utf16, 2, Compact, &[[0, 2, 2], [2, 2, 4]], tag(2)),
        ("aé", Utf16, 2, Compact, &[[0, 2, 2]], 2),
        // store_probably_utf16_to_latin1_or_utf16
        ("a€", Compact, tag(2), Compact, &[[0, 2, 4]], tag(2)),
        ("aé", Compact, tag(2), Compact, &[[0, 2, 4], [4, 1, 2]], 2),
    ];
    for (text, from, length, to, sizes, result) in cases {
        let mut pair =
            Pair { source: Guest::new(PtrWidth::Bits32, *from), target: Guest::new(PtrWidth::Bits32, *to) };
        let encoded = encodings_of(text, *from, PtrWidth::Bits32);
        let bytes = encoded.iter().find(|(_, l)| l == length).unwrap().0.clone();
        let ptr = pair.source.put(&bytes);
        let (ptr, length) = translate(&mut pair, ptr, *length).unwrap();
        assert_eq!(
            (pair.target.sizes(), length),
            (sizes.to_vec(), *result),
            "{text} from {from:?} to {to:?}"
        );
        assert_eq!(pair.target.calls.last().unwrap().1, ptr);
        for (call, before) in pair.target.calls.iter().skip(1).zip(&pair.target.calls) {
            assert_eq!(call.0[0], before.1, "the old pointer is the one returned before");
        }
        if *from == Utf8 {
            let mut guest = Guest::new(PtrWidth::Bits32, *to);
            store_text(&mut guest, text).unwrap();
            assert_eq!(guest.sizes(), sizes.to_vec(), "{text} from the host to {to:?}");
        }
    }
}

#[test]
fn string_with_misaligned_utf16_pointer_traps() {
    for (encoding, length) in [(Encoding::Utf16, 1), (Encoding::CompactUtf16, 1), (Encoding::CompactUtf16, 0)]
    {
        let mut guest = Guest::new(PtrWidth::Bits32, encoding);
        assert_traps(load(&mut guest, 1, length), "unaligned pointer");
        let mut pair = Pair { source: guest, target: Guest::new(PtrWidth::Bits32, Encoding::Utf8) };
        assert_traps(translate(&mut pair, 1, length), "unaligned pointer");
        assert!(pair.target.calls.is_empty());
    }
}

#[test]
fn string_out_of_bounds_or_too_long_traps() {
    let tag = 1 << 31;
    for (encoding, ptr, length, message) in [
        (Encoding::Utf8, 64, 1, "string content out-of-bounds"),
        (Encoding::Utf8, 0, 65, "string content out-of-bounds"),
        (Encoding::Utf8, u64::from(u32::MAX), 2, "string content out-of-bounds"),
        (Encoding::Utf8, 0, 1 << 28, "string byte length too large"),
        (Encoding::Utf8, 0, (1 << 28) - 1, "string content out-of-bounds"),
        (Encoding::Utf16, 0, 33, "string content out-of-bounds"),
        (Encoding::Utf16, 0, 1 << 27, "string byte length too large"),
        (Encoding::Utf16, 0, tag, "string byte length too large"),
        (Encoding::CompactUtf16, 0, tag | 33, "string content out-of-bounds"),
        (Encoding::CompactUtf16, 0, tag | 1 << 27, "string byte length too large"),
        (Encoding::CompactUtf16, 0, 65, "string content out-of-bounds"),
    ] {
        let mut guest = Guest::new(PtrWidth::Bits32, encoding);
        assert_traps(load(&mut guest, ptr, length), message);
        assert_eq!(guest.charged, 0, "nothing is charged or allocated before the length is checked");
    }
    for (encoding, length) in [
        (Encoding::Utf8, u64::MAX),
        (Encoding::Utf16, u64::MAX),
        (Encoding::Utf16, 1 << 63),
        (Encoding::CompactUtf16, u64::MAX),
    ] {
        let mut guest = Guest::new(PtrWidth::Bits64, encoding);
        assert_traps(load(&mut guest, 0, length), "string byte length too large");
    }
}

#[test]
fn string_that_is_not_well_formed_traps() {
    for (encoding, bytes, length, message) in [
        (Encoding::Utf8, &b"a\xffb"[..], 3, "invalid utf-8"),
        (Encoding::Utf8, b"a\xe2\x82", 3, "incomplete utf-8 byte sequence"),
        (Encoding::Utf8, b"\xed\xa0\x80", 3, "invalid utf-8"),
        (Encoding::Utf16, b"a\0\0\xd8", 2, "invalid utf-16"),
        (Encoding::Utf16, b"\0\xdca\0", 2, "invalid utf-16"),
        (Encoding::CompactUtf16, b"\0\xd8a\0", 2 | 1 << 31, "invalid utf-16"),
    ] {
        for to in ENCODINGS {
            let mut pair = Pair {
                source: Guest::new(PtrWidth::Bits32, encoding),
                target: Guest::new(PtrWidth::Bits32, to),
            };
            let ptr = pair.source.put(bytes);
            assert_traps(load(&mut pair.source, ptr, length), message);
            assert_traps(translate(&mut pair, ptr, length), message);
            assert!(pair.target.calls.is_empty(), "the source is validated before anything is lowered");
        }
    }
}

#[test]
fn transcoding_into_a_misbehaving_realloc_traps() {
    let text = format!("{}é€😀", "a".repeat(20));
    for (realloc, message) in [
        (Realloc::OutOfBounds, "realloc return: beyond end of memory"),
        (Realloc::Wrapping, "realloc return: beyond end of memory"),
        (Realloc::Trapping, "realloc trapped"),
    ] {
        for (from, to) in ENCODINGS.into_iter().flat_map(|from| ENCODINGS.map(|to| (from, to))) {
            for (bytes, length) in encodings_of(&text, from, PtrWidth::Bits32) {
                let mut pair = Pair {
                    source: Guest::new(PtrWidth::Bits32, from),
                    target: Guest::new(PtrWidth::Bits32, to),
                };
                pair.target.realloc = realloc;
                let ptr = pair.source.put(&bytes);
                assert_traps(translate(&mut pair, ptr, length), message);
                assert_traps(store_text(&mut pair.target, &text), message);
            }
        }
    }
    for to in [Encoding::Utf16, Encoding::CompactUtf16] {
        let mut guest = Guest::new(PtrWidth::Bits32, to);
        guest.realloc = Realloc::Misaligned;
        assert_traps(store_text(&mut guest, &text), "realloc return: result not aligned");
    }
}

/// The source and target share a memory, and each `realloc` overwrites the source with something that is longer in
/// the target's encoding, or not well-formed.
#[test]
fn transcoding_stays_in_bounds_when_the_source_changes_between_passes() {
    let text = format!("{}é", "a".repeat(600));
    for byte in [0x00, b'a', 0x80, 0xc3, 0xd8, 0xdc, 0xe9, 0xf0, 0xff] {
        for (from, to) in ENCODINGS.into_iter().flat_map(|from| ENCODINGS.map(|to| (from, to))) {
            for (bytes, length) in encodings_of(&text, from, PtrWidth::Bits32) {
                // The two sides of one instance differ in their encoding here.
                let mut bridge = Recoding { same: Same(Guest::new(PtrWidth::Bits32, from)), from, to };
                bridge.same.0.realloc = Realloc::Scribbling(byte);
                let ptr = bridge.same.0.put(&bytes);
                let _ = translate(&mut bridge, ptr, length);
                let guest = &bridge.same.0;
                let (call, block) = guest.calls.last().unwrap();
                let (before, rest) = guest.memory.split_at(*block as usize);
                let after = &rest[call[3] as usize..];
                assert!(before.iter().chain(after).all(|b| *b == byte), "written outside of the last block");
            }
        }
    }
}

struct Recoding {
    same: Same,
    from: Encoding,
    to: Encoding,
}

impl Bridge for Recoding {
    fn source(&mut self) -> &mut dyn LiftSide {
        self.same.0.encoding = self.from;
        self.same.source()
    }

    fn target(&mut self) -> &mut dyn LowerSide {
        self.same.0.encoding = self.to;
        self.same.target()
    }

    fn copy(&mut self, from: u64, to: u64, len: u64) -> Result<()> {
        self.same.copy(from, to, len)
    }
}

#[test]
fn lifting_a_string_is_charged() {
    for (encoding, bytes, length, charge) in [
        (Encoding::Utf8, "aé€".as_bytes(), 6, 6),
        (Encoding::Utf16, b"a\0\xe9\0\xac\x20", 3, 6),
        (Encoding::CompactUtf16, b"a\xe9", 2, 3),
    ] {
        let mut guest = Guest::new(PtrWidth::Bits32, encoding);
        let ptr = guest.put(bytes);
        load(&mut guest, ptr, length).unwrap();
        assert_eq!(guest.charged, charge);
        guest.budget = charge;
        assert_traps(load(&mut guest, ptr, length), "over budget");
    }
}

proptest! {
    #[test]
    fn any_text_survives(text in "\\PC{0,40}|[ -~é-þ]{0,40}") {
        every_way(&text);
    }

    #[test]
    fn any_bytes_are_text_or_a_trap(bytes in prop::collection::vec(any::<u8>(), 0..64), ptr in 0_u64..70, length: u8) {
        for (from, to) in ENCODINGS.into_iter().flat_map(|from| ENCODINGS.map(|to| (from, to))) {
            for length in [u64::from(length), u64::from(length) | 1 << 31] {
                let mut source = Guest::with_memory(&bytes);
                source.encoding = from;
                let lifted = load(&mut source, ptr, length);
                let mut pair = Pair { source, target: Guest::new(PtrWidth::Bits32, to) };
                let translated = translate(&mut pair, ptr, length);
                match lifted {
                    Ok(text) => {
                        let (ptr, length) = translated.unwrap();
                        prop_assert_eq!(load(&mut pair.target, ptr, length).unwrap(), text);
                    }
                    Err(error) => prop_assert_eq!(translated.unwrap_err().to_string(), error.to_string()),
                }
            }
        }
    }
}
