//! How elements of each dtype lie in words, and the WGSL that loads and stores them.

use crate::dtype::DType;
use crate::dtype::DType::*;
use crate::scalar::Scalar;
use half::{bf16, f16};
use std::fmt::Write;

/// The conversions of packed dtypes, for every generated kernel that may need them.
pub(super) const INDEX_WGSL: &str = include_str!("../../shaders/lib/index.wgsl");

/// Programs with complex numbers are refused before anything is written.
const NO_COMPLEX: &str = "no kernel has complex numbers";

/// The WGSL type a dtype computes in.
pub(super) fn wgsl_type(d: DType) -> &'static str {
    match d {
        Bool => "bool",
        U8 | I8 | I16 | I32 => "i32",
        U32 => "u32",
        I64 => "vec2<u32>",
        F16 | BF16 | F32 => "f32",
        F64 => "f64",
        C64 | C128 => unreachable!("{NO_COMPLEX}"),
    }
}

/// The dtype of the same width that is moved without being looked at: how pure copies see any dtype, on any adapter.
pub(super) fn raw_dtype(d: DType) -> DType {
    match d {
        Bool | U8 | I8 => U8,
        I16 | F16 | BF16 => I16,
        I32 | U32 | F32 => U32,
        I64 | F64 => I64,
        C64 | C128 => unreachable!("{NO_COMPLEX}"),
    }
}

/// True for dtypes of which several lie in one word.
pub(super) fn packed(d: DType) -> bool {
    d.size() < 4
}

/// What a binding's array is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Grain {
    /// `u32`
    Word,
    /// `vec2<u32>`
    Two,
    /// `vec4<u32>`
    Four,
    /// `atomic<u32>`: packed elements are written one at a time.
    Atomic,
    /// `f64`
    Double,
    /// `vec2<u64>`: a [`Grain::Four`] that is read and written by whole vectors only, see [`super::Recorder::wide_loads`].
    Wide,
}

impl Grain {
    pub fn element(self) -> &'static str {
        match self {
            Grain::Word => "u32",
            Grain::Two => "vec2<u32>",
            Grain::Four => "vec4<u32>",
            Grain::Atomic => "atomic<u32>",
            Grain::Double => "f64",
            Grain::Wide => "vec2<u64>",
        }
    }

    pub fn code(self) -> char {
        match self {
            Grain::Word => 'w',
            Grain::Two => 't',
            Grain::Four => 'f',
            Grain::Atomic => 'a',
            Grain::Double => 'd',
            Grain::Wide => 'l',
        }
    }
}

/// A word of an array at an index expression.
fn word(g: Grain, b: &str, i: &str) -> String {
    match g {
        Grain::Word => format!("{b}[{i}]"),
        Grain::Atomic => format!("atomicLoad(&{b}[{i}])"),
        Grain::Two => format!("{b}[({i}) >> 1u][({i}) & 1u]"),
        Grain::Four => format!("{b}[({i}) >> 2u][({i}) & 3u]"),
        Grain::Double => unreachable!("an array of f64 has no words"),
        Grain::Wide => unreachable!("long words are loaded by whole vectors only"),
    }
}

/// The value of a dtype in a word that holds `shift` bits before it.
fn unpack(d: DType, word: &str, shift: &str) -> String {
    match d {
        Bool => format!("((({word}) >> ({shift})) & 255u) != 0u"),
        U8 => format!("i32((({word}) >> ({shift})) & 255u)"),
        I8 => format!("bitcast<i32>(({word}) << (24u - ({shift}))) >> 24u"),
        I16 => format!("bitcast<i32>(({word}) << (16u - ({shift}))) >> 16u"),
        F16 => format!("wt_from_f16((({word}) >> ({shift})) & 65535u)"),
        BF16 => format!("bitcast<f32>((({word}) >> ({shift})) << 16u)"),
        F32 => format!("bitcast<f32>({word})"),
        I32 => format!("bitcast<i32>({word})"),
        U32 => format!("({word})"),
        I64 | F64 => unreachable!("two words"),
        C64 | C128 => unreachable!("{NO_COMPLEX}"),
    }
}

/// The bits of a value in the low end of a word.
pub(super) fn bits(d: DType, x: &str) -> String {
    match d {
        Bool => format!("select(0u, 1u, {x})"),
        U8 | I8 => format!("(bitcast<u32>({x}) & 255u)"),
        I16 => format!("(bitcast<u32>({x}) & 65535u)"),
        F16 => format!("wt_to_f16({x})"),
        BF16 => format!("wt_to_bf16({x})"),
        F32 | I32 => format!("bitcast<u32>({x})"),
        U32 => format!("({x})"),
        I64 | F64 => unreachable!("two words"),
        C64 | C128 => unreachable!("{NO_COMPLEX}"),
    }
}

/// The element at an index (an identifier), as an expression of the compute type.
pub(super) fn load_one(d: DType, g: Grain, b: &str, i: &str) -> String {
    match d.size() {
        8 => match g {
            Grain::Double => format!("{b}[{i}]"),
            Grain::Two => format!("{b}[{i}]"),
            _ => {
                let (lo, hi) = (word(g, b, &format!("2u * {i}")), word(g, b, &format!("2u * {i} + 1u")));
                format!("vec2<u32>({lo}, {hi})")
            }
        },
        4 => unpack(d, &word(g, b, i), "0u"),
        2 => unpack(d, &word(g, b, &format!("{i} >> 1u")), &format!("({i} & 1u) * 16u")),
        _ => unpack(d, &word(g, b, &format!("{i} >> 2u")), &format!("({i} & 3u) * 8u")),
    }
}

/// Four consecutive elements from an index that is a multiple of four: lines of WGSL, and the four expressions.
pub(super) fn load_four(d: DType, g: Grain, b: &str, i: &str, tag: &str) -> (String, [String; 4]) {
    let lanes = ["x", "y", "z", "w"];
    let one = |k: usize| load_one(d, g, b, &format!("({i} + {k}u)"));
    if g == Grain::Wide {
        // then as for a `Grain::Four`
        let whole = |v: &str, at: &str| {
            format!(
                "let q{v}{tag} = {b}[{at}];\nlet {v}{tag} = vec4<u32>(u32(q{v}{tag}.x), u32(q{v}{tag}.x >> 32u), u32(q{v}{tag}.y), u32(q{v}{tag}.y >> 32u));\n"
            )
        };
        if d.size() == 4 {
            let e = |k: usize| unpack(d, &format!("v{tag}.{}", lanes[k]), "0u");
            return (whole("v", &format!("{i} >> 2u")), std::array::from_fn(e));
        }
        let lines = whole("v", &format!("{i} >> 1u")) + &whole("w", &format!("({i} >> 1u) + 1u"));
        return (lines, [("v", "xy"), ("v", "zw"), ("w", "xy"), ("w", "zw")].map(|(v, s)| format!("{v}{tag}.{s}")));
    }
    match (d.size(), g) {
        (4, Grain::Four) => {
            let line = format!("let v{tag} = {b}[{i} >> 2u];\n");
            (line, std::array::from_fn(|k| unpack(d, &format!("v{tag}.{}", lanes[k]), "0u")))
        }
        (8, Grain::Four) => {
            let line = format!("let v{tag} = {b}[{i} >> 1u];\nlet w{tag} = {b}[({i} >> 1u) + 1u];\n");
            let e = |v: &str, s: &str| format!("{v}{tag}.{s}");
            (line, [e("v", "xy"), e("v", "zw"), e("w", "xy"), e("w", "zw")])
        }
        (2, Grain::Two) => {
            let line = format!("let v{tag} = {b}[{i} >> 2u];\n");
            let at = |k: usize| unpack(d, &format!("v{tag}.{}", lanes[k / 2]), ["0u", "16u"][k % 2]);
            (line, std::array::from_fn(at))
        }
        (2, _) => {
            let (v, w) = (word(g, b, &format!("{i} >> 1u")), word(g, b, &format!("({i} >> 1u) + 1u")));
            let line = format!("let v{tag} = vec2<u32>({v}, {w});\n");
            let at = |k: usize| unpack(d, &format!("v{tag}.{}", lanes[k / 2]), ["0u", "16u"][k % 2]);
            (line, std::array::from_fn(at))
        }
        (1, _) => {
            let line = format!("let v{tag} = {};\n", word(g, b, &format!("{i} >> 2u")));
            (line, std::array::from_fn(|k| unpack(d, &format!("v{tag}"), ["0u", "8u", "16u", "24u"][k])))
        }
        _ => (String::new(), std::array::from_fn(one)),
    }
}

/// Four consecutive elements of 32 bits from any index `i` (an identifier), by whole vectors: `vec4<u32>` `h{tag}` holds the aligned
/// ones before (see [`begin_shifted`]), and afterwards those that the next four begin with. Lines of WGSL that need
/// [`SHIFTED_WGSL`], and the four expressions. What lies past the array's last whole vector is anything.
pub(super) fn load_shifted(d: DType, g: Grain, b: &str, i: &str, tag: &str) -> (String, [String; 4]) {
    let next = format!("let i{tag} = 4u * min(({i} >> 2u) + 1u, arrayLength(&{b}) - 1u);\n");
    let (lines, _) = load_four(d, g, b, &format!("i{tag}"), tag);
    let own = format!("let s{tag} = wt_shifted(h{tag}, v{tag}.xyz, {i});\nh{tag} = v{tag};\n");
    let lanes = ["x", "y", "z", "w"];
    (next + &lines + &own, lanes.map(|l| unpack(d, &format!("s{tag}.{l}"), "0u")))
}

/// The aligned vector that holds index `i`, for [`load_shifted`]; lines of WGSL.
pub(super) fn begin_shifted(d: DType, g: Grain, b: &str, i: &str, tag: &str) -> String {
    let (lines, _) = load_four(d, g, b, i, tag);
    format!("var h{tag} = vec4<u32>();\n{{ {lines}h{tag} = v{tag}; }}\n")
}

/// `4 * count` consecutive elements of 32 bits from any index, likewise, by `count + 1` aligned vectors.
pub(super) fn load_shifted_run(d: DType, g: Grain, b: &str, i: &str, tag: &str, count: usize) -> (String, Vec<String>) {
    let (mut lines, mut all) = (String::new(), Vec::new());
    for k in 0..=count {
        let at = format!("i{tag}_{k}");
        let _ = writeln!(lines, "let {at} = 4u * min(({i} >> 2u) + {k}u, arrayLength(&{b}) - 1u);");
        lines += &load_four(d, g, b, &at, &format!("{tag}_{k}")).0;
    }
    for k in 0..count {
        let _ = writeln!(lines, "let s{tag}_{k} = wt_shifted(v{tag}_{k}, v{tag}_{}.xyz, {i});", k + 1);
        all.extend(["x", "y", "z", "w"].map(|l| unpack(d, &format!("s{tag}_{k}.{l}"), "0u")));
    }
    (lines, all)
}

/// Four elements of two aligned vectors, from the place that an index has in the first.
pub(super) const SHIFTED_WGSL: &str = "
fn wt_shifted(a: vec4<u32>, b: vec3<u32>, i: u32) -> vec4<u32> {
    let two = (i & 2u) != 0u;
    let x = select(a, vec4<u32>(a.zw, b.xy), two);
    return select(x, vec4<u32>(x.yzw, select(b.x, b.z, two)), (i & 1u) != 0u);
}
";

/// A statement that stores one element at an index (an identifier).
pub(super) fn store_one(d: DType, g: Grain, b: &str, i: &str, x: &str) -> String {
    match (d.size(), g) {
        (8, Grain::Double | Grain::Two) => format!("{b}[{i}] = {x};\n"),
        (8, Grain::Atomic) => {
            format!("atomicStore(&{b}[2u * {i}], ({x}).x); atomicStore(&{b}[2u * {i} + 1u], ({x}).y);\n")
        }
        (8, Grain::Word) => format!("{b}[2u * {i}] = ({x}).x; {b}[2u * {i} + 1u] = ({x}).y;\n"),
        (4, Grain::Atomic) => format!("atomicStore(&{b}[{i}], {});\n", bits(d, x)),
        (4, Grain::Word) => format!("{b}[{i}] = {};\n", bits(d, x)),
        // the other elements of the word belong to other invocations: clear ours, then set it
        (2, Grain::Atomic) => format!(
            "atomicAnd(&{b}[{i} >> 1u], ~(65535u << (({i} & 1u) * 16u))); atomicOr(&{b}[{i} >> 1u], {} << (({i} & 1u) * 16u));\n",
            bits(d, x)
        ),
        (1, Grain::Atomic) => format!(
            "atomicAnd(&{b}[{i} >> 2u], ~(255u << (({i} & 3u) * 8u))); atomicOr(&{b}[{i} >> 2u], {} << (({i} & 3u) * 8u));\n",
            bits(d, x)
        ),
        _ => unreachable!("no store of single elements of {d:?} into {g:?}"),
    }
}

/// Statements that store the first `m` (1 to 4, an identifier) of four elements at an index that is a multiple of four.
/// What lies after them in their words stays.
pub(super) fn store_four(d: DType, g: Grain, b: &str, i: &str, x: &[String; 4]) -> String {
    let lanes = ["x", "y", "z", "w"];
    let mut s = String::new();
    let e: [String; 4] = std::array::from_fn(|k| if d.size() == 8 { x[k].clone() } else { bits(d, &x[k]) });
    match (d.size(), g) {
        (4, Grain::Wide) => {
            let _ = writeln!(s, "{b}[{i} >> 2u] = vec2<u64>({}, {});", long(&e[0], &e[1]), long(&e[2], &e[3]));
        }
        (8, Grain::Wide) => {
            let pair = |v: &str| {
                format!(
                    "vec2<u64>({})",
                    [format!("{v}.xy"), format!("{v}.zw")]
                        .map(|p| long(&format!("{p}.x"), &format!("{p}.y")))
                        .join(", ")
                )
            };
            let _ = writeln!(s, "let q = vec4<u32>({}, {});\nlet r = vec4<u32>({}, {});", e[0], e[1], e[2], e[3]);
            let _ = writeln!(s, "let j = {i} >> 1u;\n{b}[j] = {};\n{b}[j + 1u] = {};", pair("q"), pair("r"));
        }
        (4, Grain::Four) => {
            let _ = writeln!(s, "let q = vec4<u32>({}, {}, {}, {});", e[0], e[1], e[2], e[3]);
            let _ = writeln!(s, "if m == 4u {{ {b}[{i} >> 2u] = q; }} else {{ {b}[{i} >> 2u].x = q.x;");
            s.push_str(&format!(
                "if m > 1u {{ {b}[{i} >> 2u].y = q.y; }}\nif m > 2u {{ {b}[{i} >> 2u].z = q.z; }} }}\n"
            ));
        }
        (8, Grain::Four) => {
            let _ = writeln!(
                s,
                "let j = {i} >> 1u;\nlet q = vec4<u32>({}, {});\nlet r = vec4<u32>({}, {});",
                e[0], e[1], e[2], e[3]
            );
            let _ = writeln!(s, "if m > 1u {{ {b}[j] = q; }} else {{ {b}[j].x = q.x; {b}[j].y = q.y; }}");
            let _ = writeln!(
                s,
                "if m == 4u {{ {b}[j + 1u] = r; }} else if m == 3u {{ {b}[j + 1u].x = r.x; {b}[j + 1u].y = r.y; }}"
            );
        }
        (2, Grain::Two) => {
            let _ = writeln!(s, "let q = vec2<u32>({} | ({} << 16u), {} | ({} << 16u));", e[0], e[1], e[2], e[3]);
            let _ = writeln!(s, "if m == 4u {{ {b}[{i} >> 2u] = q; }} else {{");
            for (k, l) in lanes[..2].iter().enumerate() {
                let at = format!("{b}[{i} >> 2u].{l}");
                let _ = writeln!(s, "if m > {}u {{ {at} = q.{l}; }}", 2 * k + 1);
                let _ =
                    writeln!(s, "else if m == {}u {{ {at} = ({at} & 0xffff0000u) | (q.{l} & 65535u); }}", 2 * k + 1);
            }
            s.push_str("}\n");
        }
        (2, Grain::Word) => {
            let _ = writeln!(
                s,
                "let j = {i} >> 1u;\nlet q = {} | ({} << 16u);\nlet r = {} | ({} << 16u);",
                e[0], e[1], e[2], e[3]
            );
            let _ =
                writeln!(s, "if m > 1u {{ {b}[j] = q; }} else {{ {b}[j] = ({b}[j] & 0xffff0000u) | (q & 65535u); }}");
            let _ = writeln!(
                s,
                "if m == 4u {{ {b}[j + 1u] = r; }} else if m == 3u {{ {b}[j + 1u] = ({b}[j + 1u] & 0xffff0000u) | (r & 65535u); }}"
            );
        }
        (1, Grain::Word) => {
            let _ = writeln!(
                s,
                "let j = {i} >> 2u;\nlet q = {} | ({} << 8u) | ({} << 16u) | ({} << 24u);",
                e[0], e[1], e[2], e[3]
            );
            let _ = writeln!(s, "if m == 4u {{ {b}[j] = q; }} else {{");
            let _ =
                writeln!(s, "let keep = 0xffffffffu << (8u * (m & 3u)); {b}[j] = ({b}[j] & keep) | (q & ~keep); }}");
        }
        _ => {
            for (k, x) in x.iter().enumerate() {
                let one = store_one(d, g, b, &format!("({i} + {k}u)"), x);
                let _ = if k == 0 { write!(s, "{one}") } else { writeln!(s, "if m > {k}u {{ {one} }}") };
            }
        }
    }
    s
}

/// A long word of two words.
fn long(low: &str, high: &str) -> String {
    format!("(u64({low}) | (u64({high}) << 32u))")
}

/// How many words a scalar parameter takes, and the expression that reads it from them. Scalars come as bits, so that
/// infinities and NaN arrive and nothing is compiled in.
pub(super) fn scalar_words(d: DType) -> usize {
    if d.size() == 8 { 2 } else { 1 }
}

/// The expression of the scalar parameter whose first word is `P.{name}` (and whose second is `P.{name}h`).
pub(super) fn scalar_expr(d: DType, name: &str) -> String {
    match d {
        Bool => format!("P.{name} != 0u"),
        U8 | I8 | I16 | I32 => format!("bitcast<i32>(P.{name})"),
        U32 => format!("P.{name}"),
        I64 => format!("vec2<u32>(P.{name}, P.{name}h)"),
        F16 | BF16 | F32 => format!("bitcast<f32>(P.{name})"),
        F64 => format!("P.{name}"),
        C64 | C128 => unreachable!("{NO_COMPLEX}"),
    }
}

/// A scalar converted to a dtype, as the words of its parameter.
pub(super) fn push_scalar(d: DType, s: Scalar, out: &mut Vec<u32>) {
    let i = |s: Scalar| s.to_i64();
    match d {
        Bool => out.push(s.to_bool() as u32),
        U8 => out.push(i(s) as u8 as u32),
        I8 => out.push(i(s) as i8 as i32 as u32),
        I16 => out.push(i(s) as i16 as i32 as u32),
        I32 | U32 => out.push(i(s) as u32),
        I64 => out.extend([i(s) as u32, (i(s) >> 32) as u32]),
        F16 => out.push(f16::from_f32(s.to_f64() as f32).to_f32().to_bits()),
        BF16 => out.push(bf16::from_f32(s.to_f64() as f32).to_f32().to_bits()),
        F32 => out.push((s.to_f64() as f32).to_bits()),
        F64 => {
            let b = s.to_f64().to_bits();
            out.extend([b as u32, (b >> 32) as u32]);
        }
        C64 | C128 => unreachable!("{NO_COMPLEX}"),
    }
}

/// The memory bits of a scalar of a dtype, as the words of its raw dtype's parameter.
pub(super) fn push_raw_scalar(d: DType, s: Scalar, out: &mut Vec<u32>) {
    match d {
        F16 => out.push(f16::from_f32(s.to_f64() as f32).to_bits() as u32),
        BF16 => out.push(bf16::from_f32(s.to_f64() as f32).to_bits() as u32),
        _ => push_scalar(d, s, out),
    }
}
