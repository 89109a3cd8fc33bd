//! The Mersenne Twister (Matsumoto and Nishimura 1998), the engine under PyTorch's CPU generator.

const N: usize = 624;
const M: usize = 397;

/// MT19937 with 32-bit outputs, seeded as the reference's `init_genrand`.
#[derive(Clone, PartialEq, Eq)]
pub struct Mt19937 {
    state: [u32; N],
    /// The next word to hand out; `N` means that a new block is due.
    next: usize,
}

impl Mt19937 {
    /// The engine after `init_genrand(seed)`.
    pub fn new(seed: u32) -> Mt19937 {
        let mut state = [0u32; N];
        state[0] = seed;
        for i in 1..N {
            let prev = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(prev ^ (prev >> 30)).wrapping_add(i as u32);
        }
        Mt19937 { state, next: N }
    }

    /// The next 32 random bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.refill();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn refill(&mut self) {
        let s = &mut self.state;
        let twist = |hi: u32, lo: u32| {
            let y = (hi & 0x8000_0000) | (lo & 0x7fff_ffff);
            (y >> 1) ^ if lo & 1 == 1 { 0x9908_b0df } else { 0 }
        };
        // Three runs, so that no index needs a remainder.
        for i in 0..N - M {
            s[i] = s[i + M] ^ twist(s[i], s[i + 1]);
        }
        for i in N - M..N - 1 {
            s[i] = s[i + M - N] ^ twist(s[i], s[i + 1]);
        }
        s[N - 1] = s[M - 1] ^ twist(s[N - 1], s[0]);
        self.next = 0;
    }
}

impl std::fmt::Debug for Mt19937 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mt19937").field("next", &self.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_thousandth_output_is_the_one_the_cpp_standard_names() {
        // [rand.predef]: the 10000th consecutive invocation of a default-constructed mt19937 (seed 5489).
        let mut engine = Mt19937::new(5489);
        let last = (0..10_000).map(|_| engine.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
