//! Makes a program of numbers: chooses every step's arguments so that they fit, and runs the step in the reference meanwhile.

use crate::reference::{DTYPES, R, fits, indices, meet, wrap};
use crate::steps::{Bin, Change, MODULUS, Other, Step, ViewOp};
use std::collections::BTreeMap;
use wgtorch::DType::{self, *};

/// How many kinds of steps there are, views and in-place steps first.
pub const KINDS: usize = 43;
/// The first kind that is neither a view nor in place.
pub const OTHERS: usize = 37;

/// A program on its way.
pub struct Plan {
    pub steps: Vec<Step>,
    pub slots: Vec<Option<R>>,
    pub counts: BTreeMap<String, usize>,
    words: Vec<u32>,
    at: usize,
    large: bool,
}

/// The name of a step's kind, as it is counted.
fn name(of: &impl std::fmt::Debug) -> String {
    let text = format!("{of:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_string()
}

fn value(op: Bin, a: i64, b: i64) -> i64 {
    match op {
        Bin::Add => a + b,
        Bin::Sub => a - b,
        Bin::Mul => a * b,
        Bin::Maximum => a.max(b),
        Bin::Eq => (a == b) as i64,
    }
}

/// What a number makes of a dtype: an integer only widens a bool.
fn with_number(d: DType) -> DType {
    if d == Bool { I64 } else { d }
}

fn small(x: i64, d: DType) -> i64 {
    if d == Bool { x } else { x.rem_euclid(MODULUS) }
}

impl Plan {
    pub fn new(words: Vec<u32>, large: bool) -> Plan {
        let mut plan = Plan { steps: Vec::new(), slots: Vec::new(), counts: BTreeMap::new(), words, at: 0, large };
        for _ in 0..3 {
            let (shape, dtype) = (plan.any_shape(), plan.any_dtype());
            plan.create(&shape, dtype);
        }
        plan
    }

    /// A number below `n`.
    fn below(&mut self, n: usize) -> usize {
        let w = self.words[self.at % self.words.len()] as usize;
        // words are used again in another way where a program needs more than it has
        let turn = self.at / self.words.len();
        self.at += 1;
        (w / 7usize.pow(turn as u32 % 8) + turn) % n
    }

    fn number(&mut self) -> i64 {
        self.below(7) as i64
    }

    fn any_dtype(&mut self) -> DType {
        DTYPES[self.below(DTYPES.len())]
    }

    fn any_shape(&mut self) -> Vec<usize> {
        if self.large {
            return [vec![40, 36], vec![1, 5, 6, 40], vec![3, 13, 40], vec![8, 7, 5, 6]][self.below(4)].clone();
        }
        let n = 1 + self.below(4);
        (0..n).map(|_| 1 + self.below(4)).collect()
    }

    fn push(&mut self, step: Step, made: R) -> usize {
        *self.counts.entry(made.dtype.to_string()).or_default() += 1;
        self.steps.push(step);
        self.slots.push(Some(made));
        self.slots.len() - 1
    }

    fn create(&mut self, shape: &[usize], dtype: DType) -> usize {
        let seed = self.below(1 << 16);
        let n = shape.iter().product();
        let values: Vec<i64> = (0..n).map(|i| wrap(((seed + i * i + 3 * i) % 7) as i64, dtype)).collect();
        self.push(Step::Create(values.clone(), shape.to_vec(), dtype), R::new(values, shape, dtype))
    }

    fn get(&self, i: usize) -> R {
        self.slots[i].clone().expect("live")
    }

    /// A live tensor that is right for a step, or a new one.
    fn pick(&mut self, right: impl Fn(&R) -> bool) -> usize {
        let n = self.slots.len();
        let start = self.below(n);
        let found = (0..n).map(|k| (start + k) % n).find(|&i| self.slots[i].as_ref().is_some_and(&right));
        if let Some(i) = found {
            return i;
        }
        loop {
            let (shape, dtype) = (self.any_shape(), self.any_dtype());
            let n = shape.iter().product();
            if right(&R::new(vec![0; n], &shape, dtype)) {
                return self.create(&shape, dtype);
            }
        }
    }

    /// A live tensor that is right, or a new one of a form.
    fn pick_or(&mut self, shape: &[usize], dtype: DType, right: impl Fn(&R) -> bool) -> usize {
        let n = self.slots.len();
        let start = self.below(n);
        let found = (0..n).map(|k| (start + k) % n).find(|&i| self.slots[i].as_ref().is_some_and(&right));
        found.unwrap_or_else(|| {
            // often one that has to be stretched
            let shape: Vec<usize> = match self.below(3) {
                0 => shape[shape.len() / 2..].to_vec(),
                1 => shape.iter().enumerate().map(|(d, &n)| if d == 0 { 1 } else { n }).collect(),
                _ => shape.to_vec(),
            };
            self.create(&shape, dtype)
        })
    }

    fn dim(&mut self, r: &R) -> usize {
        self.below(r.shape.len().max(1))
    }

    /// A dim as a program may write it, from the front or from the back.
    fn signed(&mut self, d: usize, r: &R) -> isize {
        if self.below(2) == 0 { d as isize } else { d as isize - r.shape.len().max(1) as isize }
    }

    /// Sizes with as many elements, and as arguments, maybe with a -1.
    fn other_sizes(&mut self, r: &R) -> (Vec<usize>, Vec<isize>) {
        let n = r.numel();
        let divisors: Vec<usize> = (1..=n).filter(|d| n.is_multiple_of(*d)).collect();
        let d = divisors[self.below(divisors.len())];
        let sizes = match self.below(4) {
            0 => vec![n],
            1 => vec![d, n / d],
            2 => vec![d, 1, n / d],
            _ => r.shape.iter().copied().chain([1]).collect(),
        };
        let mut args: Vec<isize> = sizes.iter().map(|&n| n as isize).collect();
        if self.below(2) == 0 {
            let d = self.below(args.len());
            args[d] = -1;
        }
        (sizes, args)
    }

    /// Adds a step of a kind.
    pub fn step(&mut self, kind: usize) {
        if kind < 19 {
            self.view(kind);
        } else if kind < OTHERS {
            self.change(kind - 19);
        } else {
            self.other(kind - OTHERS);
        }
        let live: Vec<usize> = (0..self.slots.len()).filter(|&i| self.slots[i].is_some()).collect();
        if live.len() > 6 && self.below(2) == 0 {
            let i = live[self.below(live.len())];
            self.slots[i] = None;
            self.steps.push(Step::Drop(i));
        }
    }

    fn view(&mut self, kind: usize) {
        let dims = match kind {
            2 | 4 | 5 | 13 => 2,
            7 | 8 | 9 | 12 | 15 | 16 | 17 => 1,
            _ => 0,
        };
        let i = self.pick(|r| match kind {
            3 => r.shape.len() <= 2,
            6 => r.shape.contains(&1) && r.numel() <= 1500,
            11 => r.shape.len() < 6,
            12 => r.shape.len() < 5 && !r.shape.is_empty() && r.numel() <= 1500,
            18 => matches!(r.dtype, U8 | I8 | I32 | U32),
            _ => r.shape.len() >= dims,
        });
        let r = self.get(i);
        let n = r.shape.len();
        let (d, e) = (self.dim(&r), self.dim(&r));
        let (sd, se) = (self.signed(d, &r), self.signed(e, &r));
        // the view's sizes with dim d cut, and where its indices come from
        let cut = |len: usize, start: usize, step: usize| {
            let mut shape = r.shape.clone();
            shape[d] = len;
            r.view(&shape, |i| i.iter().enumerate().map(|(k, &x)| if k == d { start + x * step } else { x }).collect())
        };
        let without = |d: usize, at: usize| {
            let mut shape = r.shape.clone();
            shape.remove(d);
            r.view(&shape, |i| i[..d].iter().copied().chain([at]).chain(i[d..].iter().copied()).collect())
        };
        let permuted = |order: &[usize]| {
            let shape: Vec<usize> = order.iter().map(|&k| r.shape[k]).collect();
            r.view(&shape, |i| (0..n).map(|k| i[order.iter().position(|&o| o == k).expect("all")]).collect())
        };
        let swapped = |a: usize, b: usize| {
            let mut order: Vec<usize> = (0..n).collect();
            if n > 0 {
                order.swap(a, b);
            }
            permuted(&order)
        };
        let (v, made) = match kind {
            0 => {
                let (sizes, args) = self.other_sizes(&r);
                if r.reshaped(&sizes).is_even() {
                    (ViewOp::View(args), r.reshaped(&sizes))
                } else {
                    let same: Vec<usize> = [1].into_iter().chain(r.shape.iter().copied()).collect();
                    (ViewOp::View(same.iter().map(|&n| n as isize).collect()), r.reshaped(&same))
                }
            }
            1 => {
                let (sizes, args) = self.other_sizes(&r);
                let shared = r.reshaped(&sizes);
                let made = if shared.is_even() { shared } else { R::new(r.values(), &sizes, r.dtype) };
                (ViewOp::Reshape(args), made)
            }
            2 => (ViewOp::Transpose(sd, se), swapped(d, e)),
            3 => (ViewOp::T, if n == 2 { swapped(0, 1) } else { r.clone() }),
            4 => {
                let mut order: Vec<usize> = (0..n).collect();
                for k in 0..n {
                    let other = self.below(n);
                    order.swap(k, other);
                }
                (ViewOp::Permute(order.iter().map(|&k| k as isize).collect()), permuted(&order))
            }
            5 => {
                let mut order: Vec<usize> = (0..n).filter(|&k| k != d).collect();
                order.insert(e, d);
                (ViewOp::Movedim(sd, se), permuted(&order))
            }
            6 => {
                let lead = self.below(2);
                let mut shape = vec![2; lead];
                let mut args = vec![2isize; lead];
                for &size in &r.shape {
                    let wide = if size == 1 && self.below(2) == 0 { 3 } else { size };
                    shape.push(wide);
                    args.push(if wide == size && self.below(2) == 0 { -1 } else { wide as isize });
                }
                let own =
                    |i: &[usize]| i[lead..].iter().zip(&r.shape).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect();
                (ViewOp::Expand(args), r.view(&shape, own))
            }
            7 => {
                let size = r.shape[d];
                let (start, step) = (self.below(size), 1 + self.below(3));
                let end = start + 1 + self.below(size - start);
                let args = match self.below(4) {
                    0 if end == size => ViewOp::Slice(sd, Some(start as isize), None, step),
                    1 if start == 0 => ViewOp::Slice(sd, None, Some(end as isize), step),
                    2 => ViewOp::Slice(sd, Some(start as isize - size as isize), Some(end as isize), step),
                    _ => ViewOp::Slice(sd, Some(start as isize), Some(end as isize), step),
                };
                (args, cut((end - start).div_ceil(step), start, step))
            }
            8 => {
                let k = self.below(r.shape[d]);
                let sk = if self.below(2) == 0 { k as isize } else { k as isize - r.shape[d] as isize };
                (ViewOp::Select(sd, sk), without(d, k))
            }
            9 => {
                let start = self.below(r.shape[d]);
                let len = 1 + self.below(r.shape[d] - start);
                (ViewOp::Narrow(sd, start as isize, len), cut(len, start, 1))
            }
            10 => {
                let one = n > 0 && self.below(2) == 0;
                let kept: Vec<usize> =
                    (0..n).filter(|&k| if one { k != d || r.shape[k] != 1 } else { r.shape[k] != 1 }).collect();
                let shape: Vec<usize> = kept.iter().map(|&k| r.shape[k]).collect();
                (ViewOp::Squeeze(one.then_some(sd)), r.reshaped(&shape))
            }
            11 => {
                let at = self.below(n + 1);
                let mut shape = r.shape.clone();
                shape.insert(at, 1);
                let arg = if self.below(2) == 0 { at as isize } else { at as isize - n as isize - 1 };
                (ViewOp::Unsqueeze(arg), r.reshaped(&shape))
            }
            12 => {
                let size = 1 + self.below(r.shape[d].min(4));
                let step = 1 + self.below(3);
                let mut shape = r.shape.clone();
                shape[d] = (r.shape[d] - size) / step + 1;
                shape.push(size);
                let from = |i: &[usize]| {
                    (0..n).map(|k| if k == d { i[k] * step + i[n] } else { i[k] }).collect::<Vec<usize>>()
                };
                (ViewOp::Unfold(sd, size, step), r.view(&shape, from))
            }
            13 => {
                let e = if d == e { (d + 1) % n } else { e };
                let (rows, columns) = (r.shape[d] as isize, r.shape[e] as isize);
                let offset = self.below((rows + columns - 1) as usize) as isize - rows + 1;
                let (down, right) = ((-offset).max(0), offset.max(0));
                let len = (rows - down).min(columns - right) as usize;
                let rest: Vec<usize> = (0..n).filter(|&k| k != d && k != e).collect();
                let shape: Vec<usize> = rest.iter().map(|&k| r.shape[k]).chain([len]).collect();
                let from = |i: &[usize]| {
                    let along = i[rest.len()];
                    (0..n)
                        .map(|k| match k {
                            _ if k == d => along + down as usize,
                            _ if k == e => along + right as usize,
                            _ => i[rest.iter().position(|&r| r == k).expect("the rest")],
                        })
                        .collect()
                };
                (ViewOp::Diagonal(offset, d as isize, e as isize), r.view(&shape, from))
            }
            14 => {
                let len = r.mem.borrow().len();
                let (a, b) = (self.below(5), self.below(5));
                let offset = self.below(len);
                let room = len - 1 - offset;
                let rows = 1 + self.below(4).min(room.checked_div(a).unwrap_or(2));
                let left = room - (rows - 1) * a;
                let columns = 1 + self.below(4).min(left.checked_div(b).unwrap_or(2));
                let at = (0..rows * columns).map(|k| offset + k / columns * a + k % columns * b).collect();
                let args =
                    ViewOp::AsStrided(vec![rows as isize, columns as isize], vec![a as isize, b as isize], offset);
                (args, R { at, shape: vec![rows, columns], ..r.clone() })
            }
            15 | 16 => {
                let size = r.shape[d];
                let (step, args): (usize, Box<dyn Fn(usize) -> ViewOp>) = if kind == 15 {
                    let step = 1 + self.below(size);
                    (step, Box::new(move |k| ViewOp::Split(step, sd, k)))
                } else {
                    let chunks = 1 + self.below(4);
                    (size.div_ceil(chunks), Box::new(move |k| ViewOp::Chunk(chunks, sd, k)))
                };
                let k = self.below(size.div_ceil(step));
                (args(k), cut(step.min(size - k * step), k * step, 1))
            }
            17 => {
                let k = self.below(r.shape[d]);
                (ViewOp::Unbind(sd, k), without(d, k))
            }
            _ => {
                let dtype = match r.dtype {
                    U8 => I8,
                    I8 => U8,
                    I32 => U32,
                    _ => I32,
                };
                (ViewOp::Dtype(dtype), R { dtype, ..r.clone() })
            }
        };
        *self.counts.entry(format!("view {}", name(&v))).or_default() += 1;
        self.push(Step::View(i, v), made);
    }

    fn change(&mut self, kind: usize) {
        let no_bool = matches!(kind, 1 | 5 | 6 | 7 | 8 | 16 | 17);
        let i = self.pick(|r| {
            !(r.overlaps_itself() || no_bool && r.dtype == Bool || matches!(kind, 13..=16) && r.shape.is_empty())
        });
        let r = self.get(i);
        let old = r.values();
        let each = |f: &dyn Fn(i64) -> i64| old.iter().map(|&x| f(x)).collect::<Vec<i64>>();
        let mut label = None;
        let (change, new) = match kind {
            0..=4 => {
                let op = [Bin::Add, Bin::Sub, Bin::Mul, Bin::Maximum, Bin::Eq][kind];
                label = Some(format!("{op:?}"));
                let right = |o: &R| {
                    o.stretches_to(&r.shape)
                        && (op == Bin::Eq || fits(meet(&r, o), r.dtype))
                        && !(op == Bin::Sub && o.dtype == Bool)
                };
                if self.below(4) == 0 && r.dtype != Bool {
                    let n = self.number();
                    (Change::Bin(op, Other::Number(n)), each(&|x| value(op, x, n)))
                } else {
                    let o = self.pick_or(&r.shape, r.dtype, right);
                    let other = self.get(o);
                    let dtype = if op == Bin::Eq { Bool } else { meet(&r, &other) };
                    let new = old.iter().zip(other.stretched(&r.shape)).map(|(&x, y)| wrap(value(op, x, y), dtype));
                    (Change::Bin(op, Other::Slot(o)), new.collect())
                }
            }
            5 => (Change::Neg, each(&|x| -x)),
            6 => (Change::Abs, each(&|x| x.abs())),
            7 => {
                let (a, b) = (self.number(), self.number());
                (Change::Clamp(a.min(b), a.max(b)), each(&|x| x.clamp(a.min(b), a.max(b))))
            }
            8 => (Change::Remainder, each(&|x| x.rem_euclid(3))),
            9 => {
                let n = self.number();
                (Change::Fill(n), each(&|_| n))
            }
            10 => (Change::Zero, each(&|_| 0)),
            11 => {
                let o = self.pick_or(&r.shape, r.dtype, |o| o.stretches_to(&r.shape));
                (Change::Copy(o), self.get(o).stretched(&r.shape))
            }
            12 => {
                let m = self.pick_or(&r.shape, Bool, |o| o.dtype == Bool && o.stretches_to(&r.shape));
                let n = if r.dtype == Bool { self.number() % 2 } else { self.number() };
                let mask = self.get(m).stretched(&r.shape);
                (Change::MaskedFill(m, n), old.iter().zip(mask).map(|(&x, m)| if m != 0 { n } else { x }).collect())
            }
            13 => {
                let a = self.below(r.shape[0]);
                let b = a + 1 + self.below(r.shape[0] - a);
                let part: Vec<usize> = [b - a].into_iter().chain(r.shape[1..].iter().copied()).collect();
                let (other, values) = if self.below(3) == 0 {
                    let n = self.number();
                    (Other::Number(n), vec![n; part.iter().product()])
                } else {
                    let o = self.pick_or(&part, r.dtype, |o| o.stretches_to(&part));
                    (Other::Slot(o), self.get(o).stretched(&part))
                };
                let row = r.shape[1..].iter().product::<usize>();
                let mut new = old.clone();
                new[a * row..b * row].copy_from_slice(&values);
                (Change::PutSlice(a, b, other), new)
            }
            14 => {
                let dims = 1 + self.below(r.shape.len());
                let m = self.create(&r.shape[..dims], Bool);
                let n = if r.dtype == Bool { self.number() % 2 } else { self.number() };
                let (mask, row) = (self.get(m).values(), r.shape[dims..].iter().product::<usize>());
                let new = old.iter().enumerate().map(|(k, &x)| if mask[k / row] != 0 { n } else { x }).collect();
                (Change::PutMask(m, n), new)
            }
            15 | 16 => {
                let (rows, add) = (r.shape[0], kind == 16);
                label = add.then(|| "PutIndexAdd".into());
                let first = self.below(rows);
                let k = 1 + self.below(3.min(rows));
                // apart unless they add
                let at: Vec<usize> = (0..k).map(|j| if add { first * (j % 2) } else { (first + j) % rows }).collect();
                let negative = self.below(2) == 0;
                let index = at.iter().map(|&j| if negative { j as i64 - rows as i64 } else { j as i64 }).collect();
                let shape: Vec<usize> = [k].into_iter().chain(r.shape[1..].iter().copied()).collect();
                let v = self.create(&shape, r.dtype);
                let (values, row) = (self.get(v).values(), r.shape[1..].iter().product::<usize>());
                let mut new = old.clone();
                for (j, &x) in values.iter().enumerate() {
                    let place = &mut new[at[j / row] * row + j % row];
                    *place = if add { *place + x } else { x };
                }
                (Change::PutIndex(index, v, add), new)
            }
            _ => (Change::Square, each(&|x| x * x)),
        };
        let grows = matches!(kind, 0..=2 | 5 | 16 | 17) && r.dtype != Bool;
        let new: Vec<i64> =
            new.into_iter().map(|x| wrap(x, r.dtype)).map(|x| if grows { x.rem_euclid(MODULUS) } else { x }).collect();
        r.write(&new);
        let label = label.unwrap_or_else(|| name(&change));
        *self.counts.entry(format!("in place {label}")).or_default() += 1;
        *self.counts.entry(r.dtype.to_string()).or_default() += 1;
        self.steps.push(Step::Change(i, change));
    }

    fn other(&mut self, kind: usize) {
        match kind {
            0 => {
                let a = self.pick(|r| r.numel() <= 3000);
                let r = self.get(a);
                let op = [Bin::Add, Bin::Sub, Bin::Mul, Bin::Maximum, Bin::Eq][self.below(5)];
                if self.below(4) == 0 && r.dtype != Bool {
                    let (n, dtype) = (self.number(), if op == Bin::Eq { Bool } else { r.dtype });
                    let new = r.values().iter().map(|&x| small(wrap(value(op, x, n), dtype), dtype)).collect();
                    self.push(Step::Bin(op, a, Other::Number(n)), r.fresh(new, dtype));
                    return;
                }
                let b = self.pick_or(&r.shape, r.dtype, |o| o.stretches_to(&r.shape));
                let o = self.get(b);
                let op = if op == Bin::Sub && (r.dtype == Bool || o.dtype == Bool) { Bin::Add } else { op };
                let dtype = if op == Bin::Eq { Bool } else { meet(&r, &o) };
                let pairs = r.values().into_iter().zip(o.stretched(&r.shape));
                let new = pairs.map(|(x, y)| small(wrap(value(op, x, y), dtype), dtype)).collect();
                self.push(Step::Bin(op, a, Other::Slot(b)), r.fresh(new, dtype));
            }
            1 => {
                let a = self.pick(|r| r.numel() <= 3000);
                let r = self.get(a);
                let c = self.pick_or(&r.shape, Bool, |o| o.stretches_to(&r.shape));
                let (n, dtype) = (self.number(), with_number(r.dtype));
                let condition = self.get(c).stretched(&r.shape);
                let new = r.values().iter().zip(condition).map(|(&x, c)| if c != 0 { x } else { n }).collect();
                self.push(Step::Where(c, a, n), r.fresh(new, dtype));
            }
            2 => {
                let a = self.pick(|r| !r.shape.is_empty() && r.numel() <= 1500);
                let r = self.get(a);
                let d = self.dim(&r);
                let fits = |o: &R| {
                    o.shape.len() == r.shape.len()
                        && o.shape.iter().zip(&r.shape).enumerate().all(|(k, (x, y))| k == d || x == y)
                        && o.numel() <= 1500
                };
                let b = self.pick(fits_or(fits, &r));
                let o = if fits(&self.get(b)) { self.get(b) } else { r.clone() };
                let b = if fits(&self.get(b)) { b } else { a };
                let mut shape = r.shape.clone();
                shape[d] += o.shape[d];
                let (x, y) = (r.values(), o.values());
                let at = |i: &[usize], shape: &[usize]| i.iter().zip(shape).fold(0, |at, (&i, &n)| at * n + i);
                let new = indices(&shape)
                    .iter()
                    .map(|i| {
                        if i[d] < r.shape[d] {
                            return x[at(i, &r.shape)];
                        }
                        let mut i = i.clone();
                        i[d] -= r.shape[d];
                        y[at(&i, &o.shape)]
                    })
                    .collect();
                let made = R::new(new, &shape, meet(&r, &o));
                let d = self.signed(d, &r);
                self.push(Step::Cat(a, b, d), made);
            }
            3 => {
                let a = self.pick(|_| true);
                let (r, dtype) = (self.get(a), self.any_dtype());
                // the tensor itself where it is so already
                let made = if dtype == r.dtype { r.clone() } else { r.fresh(r.values(), dtype) };
                self.push(Step::To(a, dtype), made);
            }
            4 => {
                let a = self.pick(|r| !r.shape.is_empty() && r.shape.iter().all(|&n| n <= 40));
                let r = self.get(a);
                let d = self.dim(&r);
                let dtype = if matches!(r.dtype, F16 | BF16 | F32 | F64) { r.dtype } else { I64 };
                let mut shape = r.shape.clone();
                shape.remove(d);
                let values = r.values();
                let at = |i: &[usize]| i.iter().zip(&r.shape).fold(0, |at, (&i, &n)| at * n + i);
                let sum = |i: &Vec<usize>| -> i64 {
                    (0..r.shape[d])
                        .map(|k| {
                            values[at(&i[..d]
                                .iter()
                                .copied()
                                .chain([k])
                                .chain(i[d..].iter().copied())
                                .collect::<Vec<_>>())]
                        })
                        .sum()
                };
                let made = R::new(indices(&shape).iter().map(|i| small(sum(i), dtype)).collect(), &shape, dtype);
                let d = self.signed(d, &r);
                self.push(Step::Sum(a, d), made);
            }
            _ => {
                let a = self.pick(|r| !r.shape.is_empty());
                let r = self.get(a);
                let at: Vec<usize> = (0..3).map(|_| self.below(r.shape[0])).collect();
                let shape: Vec<usize> = [3].into_iter().chain(r.shape[1..].iter().copied()).collect();
                let looked = r.view(&shape, |i| [at[i[0]]].into_iter().chain(i[1..].iter().copied()).collect());
                let made = looked.fresh(looked.values(), r.dtype);
                let index = at.iter().map(|&k| k as i64 - if k % 2 == 0 { r.shape[0] as i64 } else { 0 }).collect();
                self.push(Step::Index(a, index), made);
            }
        }
    }
}

/// A partner that fits, or the tensor itself.
fn fits_or<'a>(fits: impl Fn(&R) -> bool + 'a, r: &'a R) -> impl Fn(&R) -> bool + 'a {
    move |o| fits(o) || o.at == r.at && o.shape == r.shape
}
