//! The naive reference: a tensor is a list of places in a memory of integers, and every step goes element by element over copies.
//! It shares no code with the library: no strides, no promotion table of its.

use std::cell::RefCell;
use std::rc::Rc;
use wgtorch::DType::{self, *};

/// All dtypes.
pub const DTYPES: [DType; 11] = [Bool, U8, I8, I16, I32, I64, U32, F16, BF16, F32, F64];

/// A tensor: for each element in row-major order the place where it lies.
#[derive(Clone)]
pub struct R {
    pub mem: Rc<RefCell<Vec<i64>>>,
    pub at: Vec<usize>,
    pub shape: Vec<usize>,
    pub dtype: DType,
}

fn rank(d: DType) -> u8 {
    match d {
        Bool => 0,
        F16 | BF16 | F32 | F64 => 2,
        _ => 1,
    }
}

/// True where a result of one dtype may be written into another.
pub fn fits(from: DType, to: DType) -> bool {
    rank(from) <= rank(to)
}

fn both(a: DType, b: DType) -> DType {
    if rank(a) != rank(b) {
        return if rank(a) > rank(b) { a } else { b };
    }
    let signed = |d| matches!(d, I8 | I16 | I32 | I64);
    let bits = |d| match d {
        Bool => 1,
        U8 | I8 => 8,
        I16 | F16 | BF16 => 16,
        I32 | U32 | F32 => 32,
        _ => 64,
    };
    let (narrow, wide) = if bits(a) <= bits(b) { (a, b) } else { (b, a) };
    match (narrow, wide) {
        _ if a == b => a,
        (F16, BF16) | (BF16, F16) => F32,
        // a signed one that holds all of the unsigned
        (U8, I8) | (I8, U8) => I16,
        _ if !signed(wide) && signed(narrow) && rank(wide) == 1 => I64,
        (U32, I32) | (I32, U32) => I64,
        _ => wide,
    }
}

/// The dtype two tensors meet in: one without dims only wins by its kind.
pub fn meet(a: &R, b: &R) -> DType {
    match (a.shape.is_empty(), b.shape.is_empty()) {
        (false, true) if rank(b.dtype) <= rank(a.dtype) => a.dtype,
        (true, false) if rank(a.dtype) <= rank(b.dtype) => b.dtype,
        _ => both(a.dtype, b.dtype),
    }
}

/// What a dtype makes of an integer.
pub fn wrap(x: i64, d: DType) -> i64 {
    match d {
        Bool => (x != 0) as i64,
        U8 => x as u8 as i64,
        I8 => x as i8 as i64,
        I16 => x as i16 as i64,
        I32 => x as i32 as i64,
        U32 => x as u32 as i64,
        _ => x,
    }
}

/// Every index of a shape in row-major order.
pub fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![Vec::new()], |all, &n| {
        all.iter().flat_map(|i| (0..n).map(move |k| i.iter().copied().chain([k]).collect())).collect()
    })
}

fn flat(index: &[usize], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |at, (&i, &n)| at * n + i)
}

impl R {
    pub fn new(values: Vec<i64>, shape: &[usize], dtype: DType) -> R {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        let values: Vec<i64> = values.into_iter().map(|x| wrap(x, dtype)).collect();
        R { at: (0..values.len()).collect(), mem: Rc::new(RefCell::new(values)), shape: shape.to_vec(), dtype }
    }

    pub fn numel(&self) -> usize {
        self.at.len()
    }

    pub fn values(&self) -> Vec<i64> {
        let mem = self.mem.borrow();
        self.at.iter().map(|&i| wrap(mem[i], self.dtype)).collect()
    }

    pub fn write(&self, values: &[i64]) {
        let mut mem = self.mem.borrow_mut();
        for (&i, &x) in self.at.iter().zip(values) {
            mem[i] = wrap(x, self.dtype);
        }
    }

    /// Another look at the memory: each new index comes from one here.
    pub fn view(&self, shape: &[usize], from: impl Fn(&[usize]) -> Vec<usize>) -> R {
        let at = indices(shape).iter().map(|i| self.at[flat(&from(i), &self.shape)]).collect();
        R { at, shape: shape.to_vec(), ..self.clone() }
    }

    /// The same places in the same order under other sizes.
    pub fn reshaped(&self, shape: &[usize]) -> R {
        assert_eq!(shape.iter().product::<usize>(), self.numel());
        R { shape: shape.to_vec(), ..self.clone() }
    }

    /// True where steps along each dim are even, so that strides can say where the elements lie.
    pub fn is_even(&self) -> bool {
        let step = |d: usize| {
            let mut i = vec![0; self.shape.len()];
            if self.shape[d] < 2 {
                return 0;
            }
            i[d] = 1;
            self.at[flat(&i, &self.shape)] as i64 - self.at[0] as i64
        };
        let steps: Vec<i64> = (0..self.shape.len()).map(step).collect();
        self.numel() == 0
            || indices(&self.shape).iter().zip(&self.at).all(|(i, &at)| {
                at as i64 == self.at[0] as i64 + i.iter().zip(&steps).map(|(&i, s)| i as i64 * s).sum::<i64>()
            })
    }

    /// Two elements in one place.
    pub fn overlaps_itself(&self) -> bool {
        let mut at = self.at.clone();
        at.sort_unstable();
        at.windows(2).any(|w| w[0] == w[1])
    }

    /// A new tensor with these elements.
    pub fn fresh(&self, values: Vec<i64>, dtype: DType) -> R {
        R::new(values, &self.shape, dtype)
    }

    /// The values stretched to a shape.
    pub fn stretched(&self, shape: &[usize]) -> Vec<i64> {
        let (values, skip) = (self.values(), shape.len() - self.shape.len());
        let own = |i: &Vec<usize>| -> Vec<usize> {
            i[skip..].iter().zip(&self.shape).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect()
        };
        indices(shape).iter().map(|i| values[flat(&own(i), &self.shape)]).collect()
    }

    /// True where it can be stretched to a shape.
    pub fn stretches_to(&self, shape: &[usize]) -> bool {
        self.shape.len() <= shape.len()
            && self.shape.iter().rev().zip(shape.iter().rev()).all(|(&a, &b)| a == b || a == 1)
    }
}
