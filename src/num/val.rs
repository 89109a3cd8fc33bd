//! A compute type that computes nothing: it prints the formula as plain WGSL `let` lines.

use super::{Arith, Base, Bits, Float, Int, Mask, Ring, for_leaves, wgsl};
use crate::dtype::DType;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Sub};

/// The WGSL type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `f32`, in which f16 and bf16 compute too
    F32,
    /// `f64`
    F64,
    /// `i32`, in which u8, i8 and i16 compute too
    I32,
    /// `u32`
    U32,
    /// `vec2<u32>`: low word, high word
    I64,
    /// `bool`
    Bool,
}

impl Kind {
    pub(super) fn of(d: DType) -> Kind {
        match d {
            DType::Bool => Kind::Bool,
            DType::U8 | DType::I8 | DType::I16 | DType::I32 => Kind::I32,
            DType::U32 => Kind::U32,
            DType::I64 => Kind::I64,
            DType::F16 | DType::BF16 | DType::F32 => Kind::F32,
            DType::F64 => Kind::F64,
            DType::C64 | DType::C128 => unreachable!("complex numbers have no WGSL"),
        }
    }

    pub(super) fn wgsl(self) -> &'static str {
        match self {
            Kind::F32 => "f32",
            Kind::F64 => "f64",
            Kind::I32 => "i32",
            Kind::U32 => "u32",
            Kind::I64 => "vec2<u32>",
            Kind::Bool => "bool",
        }
    }
}

/// A value of the function being printed: its index in the thread's printer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Val(u32);

#[derive(Default)]
struct Printer {
    compute: Option<Kind>,
    values: Vec<(String, Kind)>,
    lines: String,
    seen: HashMap<String, u32>,
    uses: BTreeSet<&'static str>,
    unsupported: bool,
}

thread_local! {
    static PRINTER: RefCell<Printer> = RefCell::default();
}

fn with<R>(f: impl FnOnce(&mut Printer) -> R) -> R {
    PRINTER.with(|p| f(&mut p.borrow_mut()))
}

/// The lines of a formula, the name of its result, and the library functions that it calls.
pub(super) struct Printed {
    pub lines: String,
    pub result: String,
    pub kind: Kind,
    pub uses: BTreeSet<&'static str>,
}

/// Prints `formula` over arguments `x0`, `x1` … of a kind; None if it uses what WGSL does not have for that kind.
pub(super) fn print<const N: usize>(kind: Kind, formula: impl FnOnce([Val; N]) -> Val) -> Option<Printed> {
    with(|p| *p = Printer { compute: Some(kind), ..Printer::default() });
    let args = std::array::from_fn(|k| atom(kind, format!("x{k}")));
    let result = formula(args);
    with(|p| {
        let p = std::mem::take(p);
        let (name, kind) = p.values[result.0 as usize].clone();
        (!p.unsupported).then_some(Printed { lines: p.lines, result: name, kind, uses: p.uses })
    })
}

fn atom(kind: Kind, text: String) -> Val {
    with(|p| {
        p.values.push((text, kind));
        Val(p.values.len() as u32 - 1)
    })
}

fn emit(kind: Kind, expr: String) -> Val {
    if let Some(v) = with(|p| p.seen.get(&expr).copied()) {
        return Val(v);
    }
    let name = with(|p| format!("v{}", p.values.len()));
    with(|p| {
        p.lines.push_str(&format!("    let {name} = {expr};\n"));
        p.seen.insert(expr, p.values.len() as u32);
    });
    atom(kind, name)
}

fn call(kind: Kind, name: &str, args: &[Val]) -> Val {
    let name = wgsl::known(name);
    with(|p| p.uses.insert(name));
    let args: Vec<String> = args.iter().map(|a| a.text()).collect();
    emit(kind, format!("{name}({})", args.join(", ")))
}

fn compute() -> Kind {
    with(|p| p.compute.expect("literals are made while a formula is printed"))
}

fn logical(b: bool) -> Val {
    atom(Kind::Bool, b.to_string())
}

impl Val {
    fn text(self) -> String {
        with(|p| p.values[self.0 as usize].0.clone())
    }
    fn kind(self) -> Kind {
        with(|p| p.values[self.0 as usize].1)
    }
    fn unsupported(self) -> Val {
        with(|p| p.unsupported = true);
        self
    }
    /// `self op o` with a built-in operator.
    fn infix(self, op: &str, o: Val, kind: Kind) -> Val {
        emit(kind, format!("{} {op} {}", self.text(), o.text()))
    }
    /// A call of a built-in function.
    fn builtin(self, name: &str) -> Val {
        emit(self.kind(), format!("{name}({})", self.text()))
    }
    /// A call of the library's function for this kind: `i32_div`, `i64_div`, and for f32 `m_` and its name.
    fn kinds_own(self, name: &str, rest: &[Val], out: Kind) -> Val {
        let prefix = match self.kind() {
            Kind::F32 => "m",
            Kind::F64 => "f64",
            Kind::I32 => "i32",
            Kind::U32 => "u32",
            Kind::I64 => "i64",
            Kind::Bool => return self.unsupported(),
        };
        let mut args = vec![self];
        args.extend_from_slice(rest);
        call(out, &format!("{prefix}_{name}"), &args)
    }
}

impl Mask for Val {}
impl BitAnd for Val {
    type Output = Val;
    fn bitand(self, o: Val) -> Val {
        match (&*self.text(), &*o.text()) {
            ("false", _) | (_, "true") => self,
            ("true", _) | (_, "false") => o,
            _ => self.infix("&&", o, Kind::Bool),
        }
    }
}
impl BitOr for Val {
    type Output = Val;
    fn bitor(self, o: Val) -> Val {
        match (&*self.text(), &*o.text()) {
            ("true", _) | (_, "false") => self,
            ("false", _) | (_, "true") => o,
            _ => self.infix("||", o, Kind::Bool),
        }
    }
}
impl BitXor for Val {
    type Output = Val;
    fn bitxor(self, o: Val) -> Val {
        self.infix("!=", o, Kind::Bool)
    }
}
impl Not for Val {
    type Output = Val;
    fn not(self) -> Val {
        match &*self.text() {
            "true" => logical(false),
            "false" => logical(true),
            t => emit(Kind::Bool, format!("!{t}")),
        }
    }
}

impl Base for Val {
    type B = Val;
    fn int(i: i64) -> Val {
        let kind = compute();
        let text = match kind {
            Kind::F32 => float_text(i as f64),
            Kind::F64 => format!("({i}.0lf)"),
            Kind::I32 if i as i32 == i32::MIN => "(-2147483647i - 1i)".into(),
            Kind::I32 => format!("({}i)", i as i32),
            Kind::U32 => format!("{}u", i as u32),
            Kind::I64 => format!("vec2<u32>({}u, {}u)", i as u32, (i >> 32) as u32),
            Kind::Bool => (i != 0).to_string(),
        };
        atom(kind, text)
    }
    fn eq(self, o: Val) -> Val {
        match self.kind() {
            Kind::I64 => emit(Kind::Bool, format!("all({} == {})", self.text(), o.text())),
            _ => self.infix("==", o, Kind::Bool),
        }
    }
    fn lt(self, o: Val) -> Val {
        match self.kind() {
            Kind::I64 => call(Kind::Bool, "i64_lt", &[self, o]),
            Kind::Bool => !self & o,
            _ => self.infix("<", o, Kind::Bool),
        }
    }
    fn le(self, o: Val) -> Val {
        match self.kind() {
            Kind::I64 => !o.lt(self),
            Kind::Bool => !self | o,
            _ => self.infix("<=", o, Kind::Bool),
        }
    }
    fn select(c: Val, yes: Val, no: Val) -> Val {
        match &*c.text() {
            "true" => yes,
            "false" => no,
            t => emit(yes.kind(), format!("select({}, {}, {t})", no.text(), yes.text())),
        }
    }
    fn is_nan(self) -> Val {
        match self.kind() {
            Kind::F32 | Kind::F64 => self.kinds_own("isnan", &[], Kind::Bool),
            _ => logical(false),
        }
    }
    fn truth(self) -> Val {
        match self.kind() {
            Kind::F32 => emit(Kind::Bool, format!("(bitcast<u32>({}) & 0x7fffffffu) != 0u", self.text())),
            Kind::F64 => !self.eq(Val::int(0)) | self.is_nan(),
            Kind::I32 => emit(Kind::Bool, format!("{} != 0i", self.text())),
            Kind::U32 => emit(Kind::Bool, format!("{} != 0u", self.text())),
            Kind::I64 => emit(Kind::Bool, format!("any({} != vec2<u32>(0u))", self.text())),
            Kind::Bool => self,
        }
    }
    fn is_inf(self) -> Val {
        match self.kind() {
            Kind::F32 | Kind::F64 => self.kinds_own("isinf", &[], Kind::Bool),
            _ => logical(false),
        }
    }
    fn signbit(self) -> Val {
        match self.kind() {
            Kind::F32 => emit(Kind::Bool, format!("(bitcast<u32>({}) >> 31u) != 0u", self.text())),
            Kind::F64 => call(Kind::Bool, "f64_signbit", &[self]),
            Kind::I64 => emit(Kind::Bool, format!("({}.y >> 31u) != 0u", self.text())),
            Kind::U32 | Kind::Bool => logical(false),
            Kind::I32 => self.lt(Val::int(0)),
        }
    }
}

impl Bits for Val {
    fn and(self, o: Val) -> Val {
        if self.kind() == Kind::Bool { self & o } else { self.infix("&", o, self.kind()) }
    }
    fn or(self, o: Val) -> Val {
        if self.kind() == Kind::Bool { self | o } else { self.infix("|", o, self.kind()) }
    }
    fn xor(self, o: Val) -> Val {
        if self.kind() == Kind::Bool { self ^ o } else { self.infix("^", o, self.kind()) }
    }
    fn not(self) -> Val {
        if self.kind() == Kind::Bool { !self } else { emit(self.kind(), format!("~{}", self.text())) }
    }
}

impl Add for Val {
    type Output = Val;
    #[allow(clippy::suspicious_arithmetic_impl, reason = "bools add as \"or\" and multiply as \"and\"")]
    fn add(self, o: Val) -> Val {
        match self.kind() {
            Kind::I64 => call(Kind::I64, "i64_add", &[self, o]),
            Kind::Bool => self | o,
            k => self.infix("+", o, k),
        }
    }
}
impl Mul for Val {
    type Output = Val;
    #[allow(clippy::suspicious_arithmetic_impl, reason = "bools add as \"or\" and multiply as \"and\"")]
    fn mul(self, o: Val) -> Val {
        match self.kind() {
            Kind::I64 => call(Kind::I64, "i64_mul", &[self, o]),
            Kind::Bool => self & o,
            k => self.infix("*", o, k),
        }
    }
}
impl Sub for Val {
    type Output = Val;
    fn sub(self, o: Val) -> Val {
        match self.kind() {
            Kind::I64 => call(Kind::I64, "i64_sub", &[self, o]),
            k => self.infix("-", o, k),
        }
    }
}
impl Div for Val {
    type Output = Val;
    fn div(self, o: Val) -> Val {
        self.infix("/", o, self.kind())
    }
}
impl Neg for Val {
    type Output = Val;
    fn neg(self) -> Val {
        match self.kind() {
            Kind::I64 => call(Kind::I64, "i64_neg", &[self]),
            Kind::U32 => emit(Kind::U32, format!("0u - {}", self.text())),
            k => emit(k, format!("-{}", self.text())),
        }
    }
}
macro_rules! with_literal {
    ($($tr:ident $f:ident $op:tt),*) => {$(
        impl $tr<f64> for Val {
            type Output = Val;
            fn $f(self, o: f64) -> Val { self $op <Val as Float>::lit(o) }
        }
    )*};
}
with_literal!(Add add +, Sub sub -, Mul mul *, Div div /);

/// A literal of type f32, in parentheses if it is negative.
fn float_text(x: f64) -> String {
    let x = x as f32;
    if x.is_sign_negative() { format!("({x:?}f)") } else { format!("{x:?}f") }
}

impl Ring for Val {}
impl Arith for Val {
    fn div_trunc(self, o: Val) -> Val {
        match self.kind() {
            Kind::F64 => (self / o).trunc(),
            Kind::F32 => self.kinds_own("trunc_div", &[o], Kind::F32),
            k => self.kinds_own("div", &[o], k),
        }
    }
    fn div_floor(self, o: Val) -> Val {
        match self.kind() {
            Kind::F64 => self.unsupported(),
            Kind::U32 => self.div_trunc(o),
            k => self.kinds_own("floor_div", &[o], k),
        }
    }
    fn rem_trunc(self, o: Val) -> Val {
        match self.kind() {
            Kind::F64 => self.unsupported(),
            Kind::F32 => self.kinds_own("fmod", &[o], Kind::F32),
            k => self.kinds_own("rem", &[o], k),
        }
    }
    fn rem_floor(self, o: Val) -> Val {
        match self.kind() {
            Kind::F64 => self.unsupported(),
            Kind::U32 => self.rem_trunc(o),
            k => self.kinds_own("remainder", &[o], k),
        }
    }
    fn abs(self) -> Val {
        match self.kind() {
            Kind::U32 => self,
            Kind::I64 => call(Kind::I64, "i64_abs", &[self]),
            _ => self.builtin("abs"),
        }
    }
    fn pow(self, o: Val) -> Val {
        match self.kind() {
            Kind::F64 => self.unsupported(),
            k => self.kinds_own("pow", &[o], k),
        }
    }
}
impl Int for Val {
    fn shl(self, o: Val) -> Val {
        self.kinds_own("shl", &[o], self.kind())
    }
    fn shr(self, o: Val) -> Val {
        self.kinds_own("shr", &[o], self.kind())
    }
    fn gcd(self, o: Val) -> Val {
        self.kinds_own("gcd", &[o], self.kind())
    }
}

/// f64 has no library functions beyond these: WGSL's own are wrong or missing for it.
const F64_LEAVES: [&str; 5] = ["sqrt", "floor", "ceil", "trunc", "round"];
/// f32 functions without a twin in WGSL.
const CPU_ONLY: [&str; 3] = ["lgamma", "digamma", "i0"];
/// f32 functions that WGSL itself gets right.
const NATIVE: [&str; 4] = ["floor", "ceil", "trunc", "round"];

macro_rules! leaves {
    ($($leaf:ident)*) => {
        impl Float for Val {
            fn lit(x: f64) -> Val {
                match compute() {
                    Kind::F64 => atom(Kind::F64, format!("({x:?}lf)")),
                    kind => atom(kind, float_text(x)),
                }
            }
            fn inf() -> Val {
                let v = call(Kind::F32, "m_inf", &[]);
                if compute() == Kind::F64 { emit(Kind::F64, format!("f64({})", v.text())) } else { v }
            }
            fn nan() -> Val {
                let v = call(Kind::F32, "m_nan", &[]);
                if compute() == Kind::F64 { emit(Kind::F64, format!("f64({})", v.text())) } else { v }
            }
            fn copysign(self, o: Val) -> Val {
                self.kinds_own("copysign", &[o], self.kind())
            }
            fn atan2(self, o: Val) -> Val {
                if self.kind() == Kind::F64 { self.unsupported() } else { self.kinds_own("atan2", &[o], Kind::F32) }
            }
            fn hypot(self, o: Val) -> Val {
                if self.kind() == Kind::F64 { self.unsupported() } else { self.kinds_own("hypot", &[o], Kind::F32) }
            }
            fn nextafter(self, o: Val) -> Val {
                if self.kind() == Kind::F64 { self.unsupported() } else { self.kinds_own("nextafter", &[o], Kind::F32) }
            }
            $(
                fn $leaf(self) -> Val {
                    let name = stringify!($leaf);
                    match self.kind() {
                        Kind::F64 if !F64_LEAVES.contains(&name) => self.unsupported(),
                        Kind::F32 if CPU_ONLY.contains(&name) => self.unsupported(),
                        Kind::F32 if NATIVE.contains(&name) => self.builtin(name),
                        k => self.kinds_own(name, &[], k),
                    }
                }
            )*
        }
    };
}
for_leaves!(leaves);
