//! Line tables of CPython's versions, as the shim reads them.

#[path = "../../shim/src/managed/python/lines.rs"]
mod lines;

use lines::{Table, line};

#[test]
fn increments_of_3_9_go_up_and_down() {
    // Two bytes on the first line, four on the next, then two lines back.
    let table = [2, 1, 4, 254];
    let of = |at| line(Table::Increments, &table, 10, at);
    assert_eq!([-1, 0, 1, 2, 5, 6, 99].map(of), [10, 10, 10, 11, 11, 9, 9].map(Some));
}

#[test]
fn ranges_of_3_10_may_have_no_line() {
    let table = [2, 1, 4, 128, 2, 255];
    let of = |at| line(Table::Ranges, &table, 10, at);
    assert_eq!([0, 2, 5, 6, 99].map(of), [Some(11), None, None, Some(10), None]);
}

#[test]
fn locations_of_every_form_are_understood() {
    let table = [
        // Short: one instruction on the same line.
        0x80,
        0x11, // One line on, with columns.
        0x80 | 11 << 3,
        1,
        2, // Two instructions, (2 + 64) / 2 lines on.
        0x80 | 13 << 3 | 1,
        0x40 | 0b10,
        0b1, // Long: one line back.
        0x80 | 14 << 3,
        0b11,
        0,
        0,
        0, // None.
        0x80 | 15 << 3,
    ];
    let of = |unit: i32| line(Table::Locations, &table, 10, 2 * unit);
    let lines = [Some(10), Some(11), Some(44), Some(44), Some(43), None, None];
    assert_eq!([0, 1, 2, 3, 4, 5, 6].map(of), lines);
}

#[test]
fn any_bytes_are_survived() {
    let (mut bytes, mut state) = ([0u8; 64], 1u64);
    for _ in 0..20_000 {
        for byte in &mut bytes {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            *byte = (state >> 33) as u8;
        }
        for table in [Table::Increments, Table::Ranges, Table::Locations] {
            line(table, &bytes, 1, (state >> 33) as i32 % 300);
        }
    }
}
