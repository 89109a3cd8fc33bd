//! Rows on software adapters, whose invocations run eight abreast: NOTE [Two cores] in `matmul.rs`.
//!
//! There a load costs the same wherever it points, a barrier or a short loop costs more than many additions, and an `if` saves
//! nothing. So a row is held in variables by name, by one lane where it is short, else by the fewest subgroups whose lanes hold
//! so much; what lies past a row's end is loaded from its last place. Rows that are no whole quads of the buffers are written by
//! `rows_ragged.rs`, and short ones, of which a lane takes four, by `rows_four.rs`.

use super::{quad, rows_four, rows_ragged, source};
use crate::error::Result;
use crate::gpu::{KernelId, Recorder};
use std::fmt::Write;

/// Lanes of a subgroup, and the most subgroups that share a row.
const LANES: usize = 8;
const WAVES: usize = 8;

/// Quads that are loaded and stored by a kernel's text: more take too long to compile.
const WRITTEN: usize = 32;

/// The same of ragged rows, where several subgroups share one.
const RAGGED: usize = 9;

/// Subgroups that hold so many quads, with at most so many in a lane.
fn waves(quads: usize, most: usize) -> usize {
    quads.div_ceil(most * LANES).next_power_of_two()
}

/// The longest rows of which a lane takes four, and how many elements are worth that longer text where there is another way.
const FOUR: usize = 12;
const MANY: usize = 1 << 18;

/// How rows lie in quads of the buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// They are whole quads everywhere.
    Whole,
    /// See [`super::rows_ragged`]; `level` where all operands lie as the result does.
    Ragged { level: bool },
    /// Four short rows of so many elements to a lane, which are whole quads together; `level` as above.
    Four { n: usize, level: bool },
}

/// How a row lies in lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// Subgroups to a row; 0: each lane has a row of its own.
    pub(super) waves: usize,
    /// Quads of a lane.
    pub(super) quads: usize,
    /// How many of them, at the end, may lie past a row's where those are whole quads.
    pub(super) loose: usize,
    pub(super) lie: Lie,
}

/// The places that rows start at in the buffers.
pub(super) struct Offsets<'a> {
    /// Of what has an element for each of the result's.
    pub like: &'a [usize],
    /// Of what has one for each column.
    pub columns: &'a [usize],
    /// Of the result.
    pub out: usize,
}

impl Rows {
    /// For `rows` of `n`, of which each quad is loaded or stored so many times; None where they do not suit.
    pub fn of(rec: &Recorder, [rows, n]: [usize; 2], at: Offsets, touches: usize) -> Option<Rows> {
        // a row of one would be its own maximum to see, and drivers take x - x for 0 where it is NaN
        if !rec.waves() || n < 2 {
            return None;
        }
        let most = WRITTEN / touches;
        let level = at.like.iter().all(|o| o % 4 == at.out % 4) && at.columns.iter().all(|o| o.is_multiple_of(4));
        let lie = match (n.is_multiple_of(4) && level, at.out.is_multiple_of(4)) {
            (true, true) => Lie::Whole,
            (_, true)
                if n <= FOUR.min(WRITTEN / (1 + at.like.len())) && (n < rows_ragged::SHORTEST || rows * n >= MANY) =>
            {
                let lie = Lie::Four { n, level };
                return Some(Rows { waves: 0, quads: n.div_ceil(4), loose: 0, lie });
            }
            _ if n < rows_ragged::SHORTEST => return None,
            _ => Lie::Ragged { level },
        };
        let all = if lie == Lie::Whole { n / 4 } else { rows_ragged::quads(n) };
        // ragged rows lie in a quad more
        if all <= most + usize::from(lie != Lie::Whole) {
            return Some(Rows { waves: 0, quads: all, loose: 0, lie });
        }
        let waves = match lie {
            Lie::Whole => waves(all, most),
            // more subgroups to a row where it takes several: the text is shorter and no slower
            _ if all <= (most + 1) * LANES => 1,
            _ => Some(waves(all, most.min(RAGGED))).filter(|&w| w <= WAVES).unwrap_or(waves(all, most + 1)),
        };
        let quads = all.div_ceil(LANES * waves);
        if lie != Lie::Whole {
            return (waves <= WAVES).then_some(Rows { waves, quads: quads.max(2), loose: 0, lie });
        }
        // few kernels for many sizes
        let step = if quads > 4 { 2 } else { 1 };
        let quads = quads.next_multiple_of(step);
        let loose = if n == 4 * quads * LANES * waves { 0 } else { step };
        (waves <= WAVES).then_some(Rows { waves, quads, loose, lie })
    }

    /// Elements to a place, by which sizes and offsets are divided that are parameters.
    pub fn unit(self) -> usize {
        if self.lie == Lie::Whole { 4 } else { 1 }
    }

    /// Rows that a lane, or all that share one, take at once.
    fn run(self) -> usize {
        if matches!(self.lie, Lie::Four { .. }) { 4 } else { 1 }
    }

    /// How many workgroups `rows` take, if each goes over so many one after another.
    pub fn groups(self, rows: usize, each: usize) -> usize {
        rows.div_ceil(each * self.run() * if self.waves == 0 { LANES } else { 1 })
    }

    /// How often a workgroup takes rows one after another, so that there is work for all cores.
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
        let lie = match self.lie {
            Lie::Whole => "".into(),
            Lie::Ragged { level } => format!(" ragged {level}"),
            Lie::Four { n, level } => format!(" four of {n} {level}"),
        };
        let key = format!("{label} {} {} {}{lie} {wide}", self.waves, self.quads, self.loose);
        rec.kernel(&key, || {
            let (head, pieces) = (self.head(), pieces());
            let all: Vec<&str> = [quad(wide), &head].into_iter().chain(pieces.iter().map(String::as_str)).collect();
            Ok(source(label, &all, read, written, words))
        })
    }

    /// What main functions are written with: SIZE, ROWS (that are side by side), UNIT, Out, own_row(), own_lane(), count() of what
    /// own_row() counts, run(), which has work() take that, aim() at a row of the result, and inside().
    fn head(self) -> String {
        let size = LANES * self.waves.max(1);
        let (rows, row, lane) =
            if self.waves == 0 { (LANES, "group * each * 8u + t", "0u") } else { (1, "group * each", "t") };
        let head = format!(
            "const SIZE: u32 = {size}u;\nconst ROWS: u32 = {rows}u;\nconst UNIT: u32 = {}u;
fn own_row(group: u32, each: u32, t: u32) -> u32 {{ return {row}; }}
fn own_lane(t: u32) -> u32 {{ return {lane}; }}
fn count(rows: u32) -> u32 {{ return {}; }}\n{}",
            self.unit(),
            if self.run() == 4 { "(rows + 3u) >> 2u" } else { "rows" },
            if self.run() == 4 { "" } else { "fn run(row: u32, lane: u32, t: u32) { work(row, lane, t); }\n" },
        );
        let whole = "alias Out = Quad;
fn aim(at: u32, lane: u32) {}
// a value in a row, or zeros past its end
fn inside(place: u32, v: vec4<f32>) -> vec4<f32> { return select(vec4<f32>(), v, place < P.n); }\n";
        head + &match self.lie {
            Lie::Whole => whole.into(),
            Lie::Ragged { .. } => rows_ragged::head(self),
            Lie::Four { n, .. } => rows_four::head(n),
        }
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
        variables(name, self.quads)
    }

    /// A function of `lane` with this statement for each of a lane's quads: `#` is its number, `ELEMENT` which of the row's elements it
    /// begins with, and `INSIDE(…)` its argument, or zeros past the end.
    pub fn each(self, signature: &str, before: &str, statement: &str, after: &str) -> String {
        let mut s = format!("{signature} {{\n{before}");
        let lanes = LANES * self.waves;
        for j in 0..self.quads {
            let line = match self.lie {
                Lie::Whole => {
                    let place = format!("lane + {}u", j * lanes.max(1));
                    let (inside, when, clamped) = if j + self.loose >= self.quads {
                        let inside = format!("inside({place}, ");
                        (inside, format!("if {place} < P.n "), format!("min({place}, P.n - 1u)"))
                    } else {
                        ("(".into(), String::new(), place.clone())
                    };
                    let line = statement.replace("INSIDE(", &inside).replace("IF ", &when).replace("CLAMPED", &clamped);
                    line.replace("ELEMENT", &format!("4u * ({place})")).replace("PLACE", &place)
                }
                Lie::Ragged { .. } => rows_ragged::statement(self, statement, j),
                Lie::Four { n, .. } => rows_four::statement(n, statement, j),
            };
            let _ = writeln!(s, "    {}", line.replace('#', &j.to_string()));
        }
        s + after + "}\n"
    }

    /// A function that loads the row at `at` of a buffer into the variables of a name.
    pub fn load(self, name: &str, buffer: &str) -> String {
        let signature = format!("fn load_{name}(at: u32, lane: u32)");
        match self.lie {
            Lie::Whole => self.each(&signature, "", &format!("{name}# = quad({buffer}[at + CLAMPED]);"), ""),
            Lie::Ragged { level } => rows_ragged::load(self, &signature, name, buffer, level),
            Lie::Four { n, level } => rows_four::load(n, &signature, name, buffer, level),
        }
    }

    /// Variables of these names, and a function that loads into them what columns have in the buffers, from these places on.
    pub fn factors(self, names: &[[&str; 3]]) -> String {
        let (count, signature) =
            (self.quads + usize::from(matches!(self.lie, Lie::Ragged { .. })), "fn load_factors(lane: u32)");
        let all: String = names.iter().map(|[name, ..]| variables(name, count)).collect();
        let each = |text: &dyn Fn(&[&str; 3]) -> String| names.iter().map(text).collect::<String>();
        all + &match self.lie {
            Lie::Whole => {
                self.each(signature, "", &each(&|[n, b, at]| format!("{n}# = quad({b}[{at} + CLAMPED]); ")), "")
            }
            Lie::Ragged { level } => {
                format!("{signature} {{\n{}}}\n", each(&|f| rows_ragged::factor(self, f, level)))
            }
            Lie::Four { n, level } => format!("{signature} {{\n{}}}\n", each(&|f| rows_four::factor(n, f, level))),
        }
    }

    /// How [`Rows::each`] names what a column has for each of a lane's quads, of [`Rows::factors`].
    pub fn column(self, name: &str) -> String {
        match self.lie {
            Lie::Ragged { .. } => format!("behind({name}#, {name}@)"),
            _ => format!("{name}#"),
        }
    }

    /// A function that folds an expression over a lane's quads, in which `s` is what there is so far.
    pub fn fold(self, signature: &str, start: &str, next: &str) -> String {
        self.each(&format!("{signature} -> vec4<f32>"), &format!("    var s = {start};\n"), next, "    return s;\n")
    }

    /// A function that stores an expression of a quad's variables into the row that starts at `at` of `OUT`.
    pub fn store(self, signature: &str, before: &str, value: &str) -> String {
        match self.lie {
            Lie::Whole => self.each(signature, before, &format!("IF {{ OUT[at + PLACE] = pack({value}); }}"), ""),
            Lie::Ragged { .. } => rows_ragged::store(self, signature, before, value),
            Lie::Four { n, .. } => rows_four::store(n, signature, before, value),
        }
    }
}

/// Variables of a name, so many.
pub(super) fn variables(name: &str, count: usize) -> String {
    (0..count).map(|j| format!("var<private> {name}{j}: vec4<f32>;\n")).collect()
}

#[cfg(test)]
#[path = "rows_wave_tests.rs"]
mod tests;
