//! Words say what they were made of.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_header_word_has_its_fields(
        op in 0..Op::ALL.len(),
        words in 1..=MAX_WORDS,
        stack in 0..STACK_LIMIT,
        dt in 0..DT_LIMIT,
    ) {
        let op = Op::ALL[op];
        let bits = HeaderWord::new(op, words, stack, dt).pack();
        let (number, dt) = (op.number(), dt as u32);
        let expected = HeaderWord { dt, words: words as u8, op: number, stack };
        prop_assert_ne!(bits, 0);
        prop_assert_eq!(HeaderWord::unpack(bits), expected);
        // The fields stand where the picture above has them.
        prop_assert_eq!((bits >> 38, bits >> 34 & 15), (dt as u64, words as u64));
        prop_assert_eq!((bits >> 24 & 1023, bits & 0xff_ffff), (number as u64, stack as u64));
    }

    #[test]
    fn any_bits_are_a_word(bits: u64) {
        prop_assert_eq!(HeaderWord::unpack(bits).pack(), bits);
        prop_assert_eq!(FdHandle::unpack(bits).pack(), bits);
        prop_assert_eq!(FdArgs::unpack(bits).pack(), bits);
        prop_assert_eq!(Failure::unpack(bits).pack(), bits);
        let text = TextWord::unpack(bits);
        prop_assert_eq!(TextWord::unpack(text.pack()), text);
    }

    #[test]
    fn fields_out_of_range_do_not_reach_their_neighbours(
        words: usize, stack: u32, dt: u64,
    ) {
        let header = HeaderWord::unpack(HeaderWord::new(Op::Open, words, stack, dt).pack());
        prop_assert_eq!(header.op, Op::Open.number());
        prop_assert_eq!(header.words as usize, words & 15);
        prop_assert_eq!(header.stack, stack & (STACK_LIMIT - 1));
        prop_assert_eq!(header.dt as u64, dt & (DT_LIMIT - 1));
    }

    #[test]
    fn handles_and_arguments_come_back(
        number: u32, generation: u32, kind: u8, bits: u8, mode: u16, flags: u32,
    ) {
        let handle = FdHandle { number, generation };
        prop_assert_eq!(FdHandle::unpack(handle.pack()), handle);
        let args = FdArgs { kind, bits, mode, flags };
        prop_assert_eq!(FdArgs::unpack(args.pack()), args);
        let failure = Failure { op: mode, errno: kind as u16, count: flags };
        prop_assert_eq!(Failure::unpack(failure.pack()), failure);
        let text = TextWord { length: mode, more: flags & 1 == 1, field: bits };
        prop_assert_eq!(TextWord::unpack(text.pack()), text);
    }
}
