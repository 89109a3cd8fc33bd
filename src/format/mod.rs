//! Printing tensors character by character as PyTorch does, from plain slices.

#[cfg(feature = "ndarray")]
pub mod numpy;
#[cfg(test)]
mod tests;

use crate::dtype::DType;
use crate::shape::numel;
use parking_lot::RwLock;

/// How tensors print (`torch.set_printoptions`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrintOptions {
    /// Digits after the point.
    pub precision: usize,
    /// Above this many elements only the edges print; `usize::MAX` for never.
    pub threshold: usize,
    /// How many items at either end of a dim a summary shows.
    pub edgeitems: usize,
    /// Characters in a line.
    pub linewidth: usize,
    /// Scientific notation always, never, or where the values ask for it.
    pub sci_mode: Option<bool>,
}

impl PrintOptions {
    /// `profile="default"`.
    pub const DEFAULT: PrintOptions =
        PrintOptions { precision: 4, threshold: 1000, edgeitems: 3, linewidth: 80, sci_mode: None };
    /// `profile="short"`.
    pub const SHORT: PrintOptions = PrintOptions { precision: 2, edgeitems: 2, ..PrintOptions::DEFAULT };
    /// `profile="full"`: nothing is summarised.
    pub const FULL: PrintOptions = PrintOptions { threshold: usize::MAX, ..PrintOptions::DEFAULT };

    /// The indices along each dim that printing a tensor of this shape needs: the edges where it is summarised, else all.
    pub fn needed_indices(&self, shape: &[usize]) -> Vec<Vec<usize>> {
        let summarize = self.summarizes(shape);
        shape.iter().map(|&n| if summarize { self.shown(n) } else { (0..n).collect() }).collect()
    }

    /// Prints a tensor as it prints itself, with these options.
    ///
    /// # Panics
    /// If the values are neither all elements nor the needed ones.
    pub fn tensor(
        &self,
        values: Values,
        shape: &[usize],
        dtype: DType,
        device: Option<&str>,
        suffixes: &[String],
    ) -> String {
        let mut text = String::from("tensor(");
        let indent = text.len();
        let mut all: Vec<String> = device.iter().map(|d| format!("device='{d}'")).collect();
        let hidden: &[DType] = if numel(shape) == 0 {
            text.push_str("[]");
            if shape.len() != 1 {
                all.push(format!("size={}", tuple(shape)));
            }
            // Without elements nothing tells an integer tensor from a float one.
            &[DType::F32]
        } else {
            self.contents(&mut text, values, shape, indent);
            &[DType::F32, DType::C64, DType::I64, DType::Bool]
        };
        if !hidden.contains(&dtype) {
            all.push(format!("dtype={dtype}"));
        }
        all.extend_from_slice(suffixes);

        let mut line = text.len() - text.rfind('\n').map_or(0, |at| at + 1) + 2;
        for suffix in &all {
            if line + suffix.len() + 2 > self.linewidth {
                text.push_str(",\n");
                text.push_str(&" ".repeat(indent));
                line = indent + suffix.len();
            } else {
                text.push_str(", ");
                line += suffix.len() + 2;
            }
            text.push_str(suffix);
        }
        text.push(')');
        text
    }

    fn summarizes(&self, shape: &[usize]) -> bool {
        numel(shape) > self.threshold
    }

    /// The indices of a summarised dim.
    fn shown(&self, n: usize) -> Vec<usize> {
        let e = self.edgeitems;
        if n > 2 * e { (0..e).chain(n - e..n).collect() } else { (0..n).collect() }
    }

    fn contents(&self, text: &mut String, values: Values, shape: &[usize], indent: usize) {
        let summarize = self.summarizes(shape);
        let indices = self.needed_indices(shape);
        let inner: Vec<usize> = indices.iter().map(Vec::len).collect();
        let values = if values.len() == numel(&inner) {
            values.formatted(self, None)
        } else {
            assert_eq!(values.len(), numel(shape), "values to print must be all elements or the needed ones");
            values.formatted(self, Some(&picks(&indices, shape)))
        };
        let Formatted { items, width, pad } = &values;
        let block = Block { options: self, items, width: *width, pad: *pad, shape, summarize };
        block.write(text, 0, 0, indent);
    }
}

impl Default for PrintOptions {
    fn default() -> PrintOptions {
        PrintOptions::DEFAULT
    }
}

static OPTIONS: RwLock<PrintOptions> = RwLock::new(PrintOptions::DEFAULT);

/// Sets how tensors print from now on, in all threads: `set_printoptions(PrintOptions { precision: 2, ..printoptions() })`.
pub fn set_printoptions(options: PrintOptions) {
    *OPTIONS.write() = options;
}

/// How tensors print now.
pub fn printoptions() -> PrintOptions {
    *OPTIONS.read()
}

/// The elements to print, row-major; floats of every width come as the doubles they are.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// floating dtypes
    Float(&'a [f64]),
    /// integer dtypes
    Int(&'a [i64]),
    /// `torch.bool`
    Bool(&'a [bool]),
    /// complex dtypes: the real and the imaginary parts
    Complex(&'a [f64], &'a [f64]),
}

/// Prints a tensor under the options now set: `tensor([1., 2.], device='gpu:0', dtype=torch.float64, requires_grad=True)`.
/// `values` are all elements, or those of [`PrintOptions::needed_indices`]; `device` is none for the CPU; `suffixes` are what comes last,
/// `grad_fn=<…>` or `requires_grad=True`.
pub fn tensor(values: Values, shape: &[usize], dtype: DType, device: Option<&str>, suffixes: &[String]) -> String {
    printoptions().tensor(values, shape, dtype, device, suffixes)
}

/// Sizes as Python prints a tuple: `(0, 3)`, `(2,)`, `()`.
pub fn tuple(sizes: &[usize]) -> String {
    match sizes {
        [n] => format!("({n},)"),
        _ => format!("({})", sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// A float in Python's `{:.Ne}`: at least two digits of exponent, with a sign.
fn scientific(x: f64, precision: usize) -> String {
    let text = format!("{x:.precision$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => python(&text),
    }
}

/// Python spells nan without capitals.
fn python(text: &str) -> String {
    text.replace("NaN", "nan")
}

/// Row-major positions of the chosen indices in a full tensor.
fn picks(indices: &[Vec<usize>], shape: &[usize]) -> Vec<usize> {
    indices
        .iter()
        .zip(shape)
        .fold(vec![0], |at, (chosen, &n)| at.iter().flat_map(|base| chosen.iter().map(move |i| base * n + i)).collect())
}

/// The elements as text, and the width that columns have (an element may be wider: PyTorch's rule ignores zeros).
struct Formatted {
    items: Vec<String>,
    width: usize,
    /// False where elements have their widths already.
    pad: bool,
}

impl Values<'_> {
    fn len(&self) -> usize {
        match self {
            Values::Float(v) => v.len(),
            Values::Int(v) => v.len(),
            Values::Bool(v) => v.len(),
            Values::Complex(re, _) => re.len(),
        }
    }

    fn formatted(&self, options: &PrintOptions, picks: Option<&[usize]>) -> Formatted {
        fn chosen<T: Copy>(v: &[T], picks: Option<&[usize]>) -> Vec<T> {
            picks.map_or_else(|| v.to_vec(), |p| p.iter().map(|&i| v[i]).collect())
        }
        let plain = |items: Vec<String>| {
            let width = items.iter().map(String::len).max().unwrap_or(0).max(1);
            Formatted { items, width, pad: true }
        };
        match self {
            Values::Float(v) => floats(&chosen(v, picks), options),
            Values::Complex(re, im) => {
                // each part by its own rule; the imaginary ones follow without a gap
                let (re, im) = (floats(&chosen(re, picks), options), floats(&chosen(im, picks), options));
                let join = |(r, i): (&String, &String)| {
                    let plus = if i.starts_with(['-', '+']) { "" } else { "+" };
                    format!("{r:>0$}{plus}{i}j", re.width)
                };
                Formatted {
                    items: re.items.iter().zip(&im.items).map(join).collect(),
                    width: re.width + im.width + 1,
                    pad: false,
                }
            }
            Values::Int(v) => plain(chosen(v, picks).iter().map(i64::to_string).collect()),
            Values::Bool(v) => {
                plain(chosen(v, picks).iter().map(|&b| if b { "True" } else { "False" }.to_string()).collect())
            }
        }
    }
}

/// All floats of a tensor share one notation and width, which its nonzero finite elements decide.
fn floats(values: &[f64], options: &PrintOptions) -> Formatted {
    let deciding = || values.iter().copied().filter(|x| x.is_finite() && *x != 0.0);
    let (min, max) = deciding().fold((f64::INFINITY, 0f64), |(lo, hi), x| (lo.min(x.abs()), hi.max(x.abs())));
    let any = max > 0.0;
    let integral = deciding().all(|x| x == x.ceil());
    let sci = any && options.sci_mode.unwrap_or(max / min > 1000.0 || max > 1e8 || (!integral && min < 1e-4));
    let precision = options.precision;
    let format = |x: f64| match (sci, integral) {
        (true, _) => scientific(x, precision),
        (_, true) if x.is_finite() => format!("{x:.0}."),
        (_, true) => python(&format!("{x:.0}")),
        _ => python(&format!("{x:.precision$}")),
    };
    Formatted {
        items: values.iter().map(|&x| format(x)).collect(),
        width: deciding().map(|x| format(x).len()).max().unwrap_or(1),
        pad: true,
    }
}

/// The nested brackets.
struct Block<'a> {
    options: &'a PrintOptions,
    items: &'a [String],
    width: usize,
    pad: bool,
    shape: &'a [usize],
    summarize: bool,
}

impl Block<'_> {
    /// How many entries of a dim print, and after which of them the dots come.
    fn cut(&self, dim: usize) -> (usize, Option<usize>) {
        let (n, e) = (self.shape[dim], self.options.edgeitems);
        if self.summarize && n > 2 * e { (2 * e, Some(e)) } else { (n, None) }
    }

    fn item(&self, at: usize) -> String {
        if self.pad { format!("{:>1$}", self.items[at], self.width) } else { self.items[at].clone() }
    }

    /// Writes the `at`th sub-tensor of this depth.
    fn write(&self, text: &mut String, dim: usize, at: usize, indent: usize) {
        if self.shape.is_empty() {
            text.push_str(&self.item(0));
            return;
        }
        let (n, dots) = self.cut(dim);
        text.push('[');
        if dim + 1 == self.shape.len() {
            let mut row: Vec<String> = (0..n).map(|i| self.item(at * n + i)).collect();
            if let Some(cut) = dots {
                row.insert(cut, " ...".to_string());
            }
            let per_line = (self.options.linewidth.saturating_sub(indent) / (self.width + 2)).max(1);
            let lines: Vec<String> = row.chunks(per_line).map(|line| line.join(", ")).collect();
            text.push_str(&lines.join(&format!(",\n{}", " ".repeat(indent + 1))));
        } else {
            let separator = format!(",{}{}", "\n".repeat(self.shape.len() - dim - 1), " ".repeat(indent + 1));
            for i in 0..n {
                if i > 0 {
                    text.push_str(&separator);
                }
                if dots == Some(i) {
                    text.push_str("...");
                    text.push_str(&separator);
                }
                self.write(text, dim + 1, at * n + i, indent + 1);
            }
        }
        text.push(']');
    }
}
