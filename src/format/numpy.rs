//! Arrays as NumPy prints them, for the arrays that share memory with tensors.

use super::{Values, picks, scientific};
use crate::shape::numel;

const LINE: usize = 75;
const THRESHOLD: usize = 1000;
const EDGE: usize = 3;
/// Digits after the point at most.
const PRECISION: usize = 8;

/// The text of `print(array)`: `[1. 2.5]`, nested brackets, dots for what is long. `round` gives the number nearest to a
/// double in the elements' own dtype, which is how few digits tell them apart.
pub fn array(values: Values, shape: &[usize], round: fn(f64) -> f64) -> String {
    let n = numel(shape);
    if n == 0 {
        return "[]".into();
    }
    let summarize = n > THRESHOLD;
    let shown = |n: usize| -> Vec<usize> {
        if summarize && n > 2 * EDGE { (0..EDGE).chain(n - EDGE..n).collect() } else { (0..n).collect() }
    };
    let at = picks(&shape.iter().map(|&n| shown(n)).collect::<Vec<_>>(), shape);
    let items = match values {
        Values::Float(v) if shape.is_empty() => vec![scalar(v[0], round)],
        Values::Float(v) => floats(&at.iter().map(|&i| v[i]).collect::<Vec<_>>(), round),
        Values::Complex(re, im) => {
            let chosen = |v: &[f64]| at.iter().map(|&i| v[i]).collect::<Vec<_>>();
            let (re, im) = (floats(&chosen(re), round), floats(&chosen(im), round));
            re.iter().zip(&im).map(|(r, i)| complex(r, i)).collect()
        }
        Values::Int(v) => right(at.iter().map(|&i| v[i].to_string()).collect()),
        Values::Bool(v) => right(at.iter().map(|&i| if v[i] { "True" } else { "False" }.to_string()).collect()),
    };
    let mut items = items.into_iter();
    block(&mut items, shape, summarize, " ", LINE)
}

/// `1.5-2.j`: the `j` stands before the blanks that fill the imaginary part up.
fn complex(re: &str, im: &str) -> String {
    let (digits, blanks) = (im.trim(), im.len() - im.trim_start().len() + im.len() - im.trim_end().len());
    let plus = if digits.starts_with('-') { "" } else { "+" };
    let blanks = " ".repeat((blanks + digits.starts_with('-') as usize).saturating_sub(1));
    format!("{re}{plus}{digits}j{blanks}")
}

fn right(items: Vec<String>) -> Vec<String> {
    let width = items.iter().map(String::len).max().unwrap_or(0);
    items.iter().map(|s| format!("{s:>width$}")).collect()
}

/// The fewest digits that give the number again, as digits and the power of ten of the first.
fn shortest(x: f64, round: fn(f64) -> f64) -> String {
    let again = |p: &usize| format!("{x:.p$e}").parse().is_ok_and(|y: f64| round(y) == x);
    let p = (0..17).find(again).unwrap_or(17);
    format!("{x:.p$e}")
}

/// One number on its own, as `str` of it.
fn scalar(x: f64, round: fn(f64) -> f64) -> String {
    let text = floats(&[x], round).swap_remove(0);
    let text = text.trim();
    if text.ends_with('.') { format!("{text}0") } else { text.into() }
}

/// Numbers with their points under each other, in one notation.
fn floats(v: &[f64], round: fn(f64) -> f64) -> Vec<String> {
    let sizes = || v.iter().filter(|x| x.is_finite() && **x != 0.0).map(|x| x.abs());
    let (min, max) = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(0.0, f64::max));
    let sci = max > 0.0 && (max >= 1e8 || min < 1e-4 || max / min > 1000.0);
    let digits = |x: f64| -> (String, String) {
        let short = shortest(x, round);
        let (mantissa, exponent) = short.split_once('e').unwrap_or((&short, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let fraction = mantissa.split_once('.').map_or(0, |(_, f)| f.len()) as i32;
        let places = (if sci { fraction } else { (fraction - exponent).max(0) } as usize).min(PRECISION);
        let text = if sci { format!("{x:.places$e}") } else { format!("{x:.places$}") };
        let mantissa = text.split('e').next().unwrap_or_default();
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        (whole.into(), fraction.trim_end_matches('0').into())
    };
    let parts: Vec<_> = v.iter().map(|&x| x.is_finite().then(|| digits(x))).collect();
    let after = parts.iter().flatten().map(|p| p.1.len()).max().unwrap_or(0);
    let finish = |x: f64, part: &Option<(String, String)>| match part {
        None if x.is_nan() => "nan".into(),
        None => if x > 0.0 { "inf" } else { "-inf" }.to_string(),
        Some(_) if sci => {
            let text = scientific(x, after);
            if after == 0 { text.replacen('e', ".e", 1) } else { text }
        }
        Some((whole, fraction)) => format!("{whole}.{fraction:<after$}"),
    };
    right(v.iter().zip(&parts).map(|(&x, part)| finish(x, part)).collect())
}

/// A sub-array in brackets; `items` are the numbers still to come.
fn block(
    items: &mut dyn Iterator<Item = String>,
    shape: &[usize],
    summarize: bool,
    indent: &str,
    width: usize,
) -> String {
    let Some((&n, rest)) = shape.split_first() else { return items.next().unwrap_or_default() };
    let dots = summarize && n > 2 * EDGE;
    let count = if dots { 2 * EDGE } else { n };
    let inner = format!("{indent} ");
    let (mut text, mut line) = (String::new(), indent.to_string());
    for i in 0..count + dots as usize {
        let word = if dots && i == EDGE { "...".into() } else { block(items, rest, summarize, &inner, width - 1) };
        if !rest.is_empty() {
            let separator = if i == 0 { String::new() } else { "\n".repeat(rest.len()) + indent };
            text += &(separator + &word);
            continue;
        }
        if line.len() + word.len() > width - 1 && line.len() > indent.len() {
            text += line.trim_end();
            text.push('\n');
            line = indent.to_string();
        }
        line += &word;
        line.push(' ');
    }
    if rest.is_empty() {
        line.pop();
        text = (text + &line)[indent.len()..].to_string();
    }
    format!("[{text}]")
}
