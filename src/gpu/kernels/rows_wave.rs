//! Rows on software adapters, whose invocations run eight abreast: NOTE [Two cores] in `matmul.rs`.
//!
//! There a load costs the same wherever it points, a barrier or a short loop costs more than many additions, and an `if` saves
//! nothing. So a row is held in variables by name, by one lane where it is short, else by the fewest subgroups whose lanes hold
//! so much; what lies past a row's end is loaded from its last place. Rows that are no whole quads of the buffer (ragged ones) are
//! loaded and stored element by element, which costs more, and are held in quads all the same.

use super::{quad, source};
use crate::error::Result;
use crate::gpu::{KernelId, Recorder};
use std::fmt::Write;

/// Lanes of a subgroup, and the most subgroups that share a row.
const LANES: usize = 8;
const WAVES: usize = 8;

/// Quads that are loaded and stored by a kernel's text: more take too long to compile. Of ragged ones half as many.
const WRITTEN: usize = 32;

/// How a row lies in lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// Subgroups to a row; 0: each lane has a row of its own.
    waves: usize,
    /// Quads of a lane.
    quads: usize,
    /// How many of them, at the end, may lie past a row's, or in part.
    loose: usize,
    /// Places are elements' in the parameters and in the buffers, not quads'.
    ragged: bool,
}

impl Rows {
    /// For rows of `n`, of which each quad is loaded or stored so many times; None where they do not suit.
    pub fn of(rec: &Recorder, n: usize, offsets: &[usize], touches: usize) -> Option<Rows> {
        if !rec.waves() || n == 0 {
            return None;
        }
        let ragged = !n.is_multiple_of(4) || !offsets.iter().all(|o| o.is_multiple_of(4));
        let (all, most) = (n.div_ceil(4), WRITTEN / touches / if ragged { 2 } else { 1 });
        if all <= most {
            return Some(Rows { waves: 0, quads: all, loose: usize::from(!n.is_multiple_of(4)), ragged });
        }
        let mut waves = 1;
        while all > most * LANES * waves {
            waves *= 2;
        }
        // few kernels for many sizes
        let quads = all.div_ceil(LANES * waves);
        let step = if quads > 4 { 2 } else { 1 };
        let quads = quads.next_multiple_of(step);
        let loose = if n == 4 * quads * LANES * waves { 0 } else { step };
        (waves <= WAVES).then_some(Rows { waves, quads, loose, ragged })
    }

    /// Elements to a place, by which sizes and offsets are divided that are parameters.
    pub fn unit(self) -> usize {
        if self.ragged { 1 } else { 4 }
    }

    /// How many workgroups `rows` take, if each goes over so many one after another.
    pub fn groups(self, rows: usize, each: usize) -> usize {
        rows.div_ceil(each * if self.waves == 0 { LANES } else { 1 })
    }

    /// Over how many rows a workgroup goes one after another, so that there is work for all cores.
    pub fn turns(self, rows: usize) -> usize {
        (self.groups(rows, 1) / 64).clamp(1, 32)
    }

    /// The kernel of these pieces, which are written where it is not known yet.
    pub fn kernel(
        self,
        rec: &mut Recorder,
        label: &str,
        pieces: impl FnOnce() -> Vec<String>,
        [read, written, words]: [usize; 3],
    ) -> Result<KernelId> {
        let wide = rec.wide_loads();
        let key = format!("{label} {} {} {} {} {wide}", self.waves, self.quads, self.loose, self.ragged);
        rec.kernel(&key, || {
            let (head, pieces) = (self.head(), pieces());
            let places = if self.ragged { "alias Quad = f32;\n" } else { quad(wide) };
            let all: Vec<&str> = [places, &head].into_iter().chain(pieces.iter().map(String::as_str)).collect();
            Ok(source(label, &all, read, written, words))
        })
    }

    /// What main functions are written with: SIZE, ROWS (that are side by side), UNIT, own_row(), own_lane(), inside().
    fn head(self) -> String {
        let size = LANES * self.waves.max(1);
        let (rows, row, lane) =
            if self.waves == 0 { (LANES, "group * each * 8u + t", "0u") } else { (1, "group * each", "t") };
        let inside = if self.ragged {
            "vec4<u32>(4u * place) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(P.n)"
        } else {
            "place < P.n"
        };
        format!(
            "const SIZE: u32 = {size}u;\nconst ROWS: u32 = {rows}u;\nconst UNIT: u32 = {}u;
fn own_row(group: u32, each: u32, t: u32) -> u32 {{ return {row}; }}
fn own_lane(t: u32) -> u32 {{ return {lane}; }}
// a value in a row, or zeros past its end
fn inside(place: u32, v: vec4<f32>) -> vec4<f32> {{ return select(vec4<f32>(), v, {inside}); }}\n",
            self.unit()
        )
    }

    /// A function that gives all lanes of a row the sum, or with `Max` the maximum. Subgroups meet once in it: those that are
    /// ahead may already write what the next such function reads, so that a kernel calls none twice in a row.
    pub fn total(self, name: &str, op: &str) -> String {
        let signature = format!("fn {name}(x: f32, t: u32) -> f32");
        let waves = self.waves;
        match waves {
            0 => return format!("{signature} {{ return x; }}\n"),
            1 => return format!("{signature} {{ return subgroup{op}(x); }}\n"),
            _ => {}
        }
        let none = if op == "Add" { "0.0".into() } else { format!("{name}_part[0]") };
        format!(
            "var<workgroup> {name}_part: array<f32, {waves}>;
{signature} {{
    {name}_part[t / 8u] = subgroup{op}(x);
    workgroupBarrier();
    return subgroup{op}(select({none}, {name}_part[min(t % 8u, {}u)], t % 8u < {waves}u));
}}\n",
            waves - 1
        )
    }

    /// Variables of a name, one for each quad of a lane.
    pub fn variables(self, name: &str) -> String {
        (0..self.quads).map(|j| format!("var<private> {name}{j}: vec4<f32>;\n")).collect()
    }

    /// A function of `lane` with this statement for each of a lane's quads: `#` is its number, `PLACE` which of the row's it is, and
    /// `INSIDE(…)` its argument, or zeros past the end.
    pub fn each(self, signature: &str, before: &str, statement: &str, after: &str) -> String {
        let mut s = format!("{signature} {{\n{before}");
        let lanes = if self.waves == 0 { 1 } else { LANES * self.waves };
        for j in 0..self.quads {
            let place = format!("lane + {}u", j * lanes);
            let loose = j + self.loose >= self.quads;
            let mut line = statement.replace('#', &j.to_string());
            if loose {
                line =
                    line.replace("INSIDE(", &format!("inside({place}, ")).replace("IF ", &format!("if {place} < P.n "));
            } else {
                line = line.replace("INSIDE(", "(").replace("IF ", "");
            }
            for k in 0..if self.ragged { 4 } else { 0 } {
                let at = format!("4u * ({place}) + {k}u");
                let (clamped, when) = if loose {
                    (format!("min({at}, P.n - 1u)"), format!("if {at} < P.n "))
                } else {
                    (at.clone(), String::new())
                };
                line = line.replace(&format!("CLAMPED{k}"), &clamped).replace(&format!("WHEN{k} "), &when);
                line = line.replace(&format!("AT{k}"), &at);
            }
            let clamped = if loose { format!("min({place}, P.n - 1u)") } else { place.clone() };
            let _ = writeln!(s, "    {}", line.replace("CLAMPED", &clamped).replace("PLACE", &place));
        }
        s + after + "}\n"
    }

    /// An expression that loads a quad of the row that starts at `at` of a buffer, for [`Rows::each`].
    pub fn take(self, buffer: &str, at: &str) -> String {
        if !self.ragged {
            return format!("quad({buffer}[{at} + CLAMPED])");
        }
        let each = [0, 1, 2, 3].map(|k| format!("{buffer}[{at} + CLAMPED{k}]"));
        format!("vec4<f32>({})", each.join(", "))
    }

    /// A statement that stores a quad's `value` into the row that starts at `at` of `OUT`.
    pub fn put(self, value: &str) -> String {
        if !self.ragged {
            return format!("IF {{ OUT[at + PLACE] = pack({value}); }}");
        }
        let each = ["x", "y", "z", "w"];
        let each: Vec<String> = (0..4).map(|k| format!("WHEN{k} {{ OUT[at + AT{k}] = put#.{}; }}", each[k])).collect();
        format!("let put# = {value}; {}", each.join(" "))
    }

    /// A function that loads the row at `at` of a buffer into the variables of a name.
    pub fn load(self, name: &str, buffer: &str) -> String {
        let load = format!("{name}# = {};", self.take(buffer, "at"));
        self.each(&format!("fn load_{name}(at: u32, lane: u32)"), "", &load, "")
    }

    /// A function that folds an expression over a lane's quads, in which `s` is what there is so far.
    pub fn fold(self, signature: &str, start: &str, next: &str) -> String {
        self.each(&format!("{signature} -> vec4<f32>"), &format!("    var s = {start};\n"), next, "    return s;\n")
    }

    /// A function that stores an expression of a quad's variables into `OUT`.
    pub fn store(self, signature: &str, value: &str) -> String {
        self.each(signature, "", &self.put(value), "")
    }
}
