//! Two numbers for height and width, which one number may stand for: kernel sizes, strides, paddings.

use std::fmt;

/// Height and width; one number stands for both.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Height and width.
    pub hw: [i64; 2],
    /// Given as one number, and printed so.
    one: bool,
}

impl Pair {
    /// Printed as a tuple, however it was given.
    pub(crate) fn as_tuple(self) -> Pair {
        Pair { one: false, ..self }
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Pair) -> bool {
        self.hw == other.hw
    }
}
impl Eq for Pair {}

impl fmt::Display for Pair {
    /// As Python prints the number or the tuple.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [h, w] = self.hw;
        if self.one { write!(f, "{h}") } else { write!(f, "({h}, {w})") }
    }
}

macro_rules! pairs_from {
    ($($t:ty),*) => {$(
        impl From<$t> for Pair {
            fn from(n: $t) -> Pair { Pair { hw: [n as i64; 2], one: true } }
        }
        impl From<[$t; 2]> for Pair {
            fn from(n: [$t; 2]) -> Pair { Pair { hw: n.map(|n| n as i64), one: false } }
        }
        impl From<($t, $t)> for Pair {
            fn from((h, w): ($t, $t)) -> Pair { Pair { hw: [h as i64, w as i64], one: false } }
        }
    )*};
}
pairs_from!(i32, i64, usize);
