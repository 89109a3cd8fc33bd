//! Matrix products: every rank rule of `matmul`, over one kernel that takes any strides, so that a transposed or broadcast
//! operand is never copied.

use super::complex_matmul;
use super::precision::backends::matmul::allow_fp16_accumulation;
use super::precision::{Float32MatmulPrecision, get_float32_matmul_precision};
use super::views::UnsafeView;
use crate::cpu;
use crate::cpu::view::{View, ViewMut};
use crate::dtype::DType;
use crate::error::{Result, bail, ensure};
use crate::gpu::GpuView;
use crate::gpu::kernels::matmul as gpu_matmul;
use crate::gpu::kernels::{matmul_coop, matmul_exact, matmul_half};
use crate::layout::Layout;
use crate::scalar::Scalar;
use crate::shape::{Dims, broadcast, numel};
use crate::stream::{CpuView, Epilogue, Kernel, Launch, OnComplex};
use crate::tensor::{Ctx, Grads, Meta, Op, OutSpec, Saves, Tensor, apply_one, methods, no_grads, view};
use num_complex::Complex;
use smallvec::SmallVec;
use std::sync::Arc;

/// The ranks of the operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `[K] x [K]`
    Dot,
    /// `[M, K] x [K]`
    Mv,
    /// `[.., M, K] x [.., K, N]` with equal leading dims.
    Mm,
}

/// `relu?(alpha * a @ b + beta * bias)` of checked operands, in the order bias (if any), a, b.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    form: Form,
    name: &'static str,
    node: &'static str,
    alpha: Scalar,
    beta: Scalar,
    bias: bool,
    relu: bool,
    /// Whether a and b lie column by column: their gradients are then made to lie the same way.
    columns: [bool; 2],
    /// Whether float16 may be summed in float16, as it was when the op was called.
    half_sums: bool,
    /// Whether float32 may be rounded to TensorFloat32's digits, likewise.
    reduced: bool,
}

impl Product {
    pub fn new(form: Form, name: &'static str, node: &'static str, a: &Tensor, b: &Tensor) -> Product {
        let one = Scalar::Int(1);
        let columns = [by_columns(&a.layout()), by_columns(&b.layout())];
        let half_sums = allow_fp16_accumulation();
        let reduced = get_float32_matmul_precision() != Float32MatmulPrecision::Highest;
        Product { form, name, node, alpha: one, beta: one, bias: false, relu: false, columns, half_sums, reduced }
    }

    /// With a bias, and factors of the product and of it.
    pub fn with_bias(self, alpha: Scalar, beta: Scalar) -> Product {
        Product { alpha, beta, bias: true, ..self }
    }

    #[track_caller]
    pub fn run(self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        apply_one(self, &[a, b])
    }
}

/// True where neighbours along the last dim but one are closer in memory than along the last.
fn by_columns(l: &Layout) -> bool {
    let n = l.ndim();
    n >= 2 && l.shape[n - 1] > 1 && l.shape[n - 2] > 1 && l.strides[n - 2] < l.strides[n - 1]
}

/// Sizes and strides of an operand seen as a matrix.
struct Matrix {
    shape: Dims,
    strides: Dims,
}

impl Matrix {
    fn of(shape: &[usize], strides: &[usize]) -> Matrix {
        Matrix { shape: Dims::from_slice(shape), strides: Dims::from_slice(strides) }
    }

    fn push(mut self, size: usize, stride: usize) -> Matrix {
        self.shape.push(size);
        self.strides.push(stride);
        self
    }

    /// The first row of a matrix.
    fn row(shape: &[usize], strides: &[usize]) -> Matrix {
        Matrix::of(&[1, shape[0]], &[shape[0] * strides[0], strides[0]])
    }

    /// Broadcast to sizes of which it has the last ones.
    fn broadcast(shape: &[usize], strides: &[usize], to: &[usize]) -> Matrix {
        let lead = to.len() - shape.len();
        let stride = |d: usize| if d < lead || shape[d - lead] == 1 { 0 } else { strides[d - lead] };
        Matrix { shape: Dims::from_slice(to), strides: (0..to.len()).map(stride).collect() }
    }
}

/// The operands as matrices: a, b, out and the bias, if there is one.
struct Matrices {
    a: Matrix,
    b: Matrix,
    out: Matrix,
    bias: Option<Matrix>,
}

type Parts<'a> = (&'a [usize], &'a [usize]);

impl Form {
    fn matrices(self, a: Parts, b: Parts, out: Parts, bias: Option<Parts>) -> Matrices {
        let bias = bias.map(|(shape, strides)| Matrix::broadcast(shape, strides, out.0));
        match self {
            Form::Dot => Matrices {
                a: Matrix::row(a.0, a.1),
                b: Matrix::of(b.0, b.1).push(1, 1),
                out: Matrix::of(&[1, 1], &[1, 1]),
                bias: bias.map(|_| Matrix::of(&[1, 1], &[0, 0])),
            },
            Form::Mv => Matrices {
                a: Matrix::of(a.0, a.1),
                b: Matrix::of(b.0, b.1).push(1, 1),
                out: Matrix::of(out.0, out.1).push(1, 1),
                bias: bias.map(|m| m.push(1, 0)),
            },
            Form::Mm => {
                Matrices { a: Matrix::of(a.0, a.1), b: Matrix::of(b.0, b.1), out: Matrix::of(out.0, out.1), bias }
            }
        }
    }
}

impl Kernel for Product {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu(&self, ins: &[CpuView], outs: &[CpuView]) -> Result<()> {
        let (bias, a, b) = match ins {
            [bias, a, b] => (Some(bias), a, b),
            _ => (None, &ins[0], &ins[1]),
        };
        let out = &outs[0];
        let m = self.form.matrices(
            (a.shape, a.strides),
            (b.shape, b.strides),
            (out.shape, out.strides),
            bias.map(|v| (v.shape, v.strides)),
        );
        macro_rules! run {
            ($t:ty, $scale:expr) => {{
                // SAFETY: the same elements as in the executor's views, under sizes and strides of matrices.
                unsafe {
                    let read = |v: &CpuView, m| View::new(v.typed::<$t>().ptr(), shape_of(m), strides_of(m));
                    cpu::matmul::gemm::<$t>(
                        ViewMut::new(out.typed_mut::<$t>().ptr(), &m.out.shape, &m.out.strides),
                        read(a, &m.a),
                        read(b, &m.b),
                        bias.zip(m.bias.as_ref()).map(|(v, m)| read(v, m)),
                        $scale(self.alpha),
                        $scale(self.beta),
                        self.relu,
                    );
                }
            }};
        }
        match out.dtype {
            DType::F32 => run!(f32, |s: Scalar| s.to_f64() as f32),
            DType::F64 => run!(f64, |s: Scalar| s.to_f64()),
            DType::C64 => run!(Complex<f32>, |s: Scalar| {
                let z = s.to_complex();
                Complex::new(z.re as f32, z.im as f32)
            }),
            DType::C128 => run!(Complex<f64>, |s: Scalar| s.to_complex()),
            DType::I64 => run!(i64, |s: Scalar| s.to_i64()),
            d => bail!(NotImplemented, "\"{}\" not implemented for '{}'", self.name, d.scalar_name()),
        }
        Ok(())
    }

    fn gpu(&self, launch: &mut Launch, ins: &[GpuView], outs: &[GpuView]) -> Result<bool> {
        let complex = outs[0].dtype == DType::C64;
        let exact = match outs[0].dtype {
            DType::F32 | DType::C64 | DType::F16 | DType::BF16 => false,
            DType::I32 | DType::U32 | DType::I64 => true,
            DType::F64 if launch.gpu.features.f64 => true,
            _ => return Ok(false),
        };
        let (bias, a, b) = match ins {
            [bias, a, b] => (Some(bias), a, b),
            _ => (None, &ins[0], &ins[1]),
        };
        let out = &outs[0];
        let m = self.form.matrices(
            (a.shape, a.strides),
            (b.shape, b.strides),
            (out.shape, out.strides),
            bias.map(|v| (v.shape, v.strides)),
        );
        let bias = bias.zip(m.bias.as_ref()).map(|(v, m)| as_matrix(v, m));
        let (a, b, out) = (as_matrix(a, &m.a), as_matrix(b, &m.b), as_matrix(out, &m.out));
        if complex {
            if bias.is_some() || matches!(self.alpha, Scalar::Complex(_)) {
                return Ok(false);
            }
            return complex_matmul::product(launch, &a, &b, &out, self.alpha.to_f64() as f32);
        }
        if exact {
            if out.shape.len() > 10 {
                return Ok(false);
            }
            let rest = matmul_exact::Rest { bias, alpha: self.alpha, beta: self.beta, relu: self.relu };
            matmul_exact::matmul(launch.rec, &a, &b, &out, &rest)?;
            return Ok(true);
        }
        let epilogue = gpu_matmul::Epilogue {
            bias,
            alpha: self.alpha.to_f64() as f32,
            beta: self.beta.to_f64() as f32,
            act: if self.relu { gpu_matmul::Act::Relu } else { gpu_matmul::Act::None },
        };
        if matmul_coop::matmul(launch.rec, &a, &b, &out, &epilogue, self.reduced)? {
            return Ok(true);
        }
        if out.dtype != DType::F32 {
            return matmul_half::matmul(launch.rec, &a, &b, &out, &epilogue, self.half_sums);
        }
        gpu_matmul::matmul(launch.rec, &a, &b, &out, &epilogue)?;
        Ok(true)
    }

    fn flops(&self, ins: &[&[usize]], outs: &[&[usize]]) -> u64 {
        let inner = ins[ins.len() - 2].last().copied().unwrap_or(1);
        2 * (numel(outs[0]) * inner) as u64
    }

    fn checks_data(&self) -> bool {
        false
    }

    fn on_complex(&self, _: usize) -> OnComplex {
        OnComplex::Native
    }

    fn absorb(&self, next: &Epilogue) -> Option<Arc<dyn Kernel>> {
        match next {
            Epilogue::Relu if !self.relu => Some(Arc::new(Product { relu: true, ..*self })),
            _ => None,
        }
    }
}

fn shape_of(m: &Matrix) -> &[usize] {
    &m.shape
}

fn strides_of(m: &Matrix) -> &[usize] {
    &m.strides
}

fn as_matrix<'a>(v: &GpuView<'a>, m: &'a Matrix) -> GpuView<'a> {
    GpuView { shape: &m.shape, strides: &m.strides, ..*v }
}

/// The product of a gradient with an operand, in the form of another operand: the second step of a matrix product's vjp.
fn back(form: Form, alpha: Scalar, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (name, node) = if a.dim() == 2 { ("mm", "MmBackward0") } else { ("bmm", "BmmBackward0") };
    Product { alpha, ..Product::new(form, name, node, a, b) }.run(a, b)
}

impl Op for Product {
    fn node_name(&self) -> &'static str {
        self.node
    }

    fn infer(&self, ins: &[Meta]) -> Result<SmallVec<[OutSpec; 2]>> {
        let [.., a, b] = ins else { bail!(Runtime, "{}: two operands expected", self.name) };
        let mut shape = Dims::new();
        match self.form {
            Form::Dot => {}
            Form::Mv => shape.push(a.shape[0]),
            Form::Mm => {
                shape.extend_from_slice(&a.shape[..a.shape.len() - 1]);
                shape.push(b.shape[b.shape.len() - 1]);
            }
        }
        let loops = if self.form == Form::Mm { "addmm_impl_cpu_" } else { self.name };
        ensure!(a.dtype != DType::Bool, NotImplemented, "\"{loops}\" not implemented for 'Bool'");
        // PyTorch's kernel for batches truncates them
        let factors = if self.name == "baddbmm" { [Scalar::Int(1); 2] } else { [self.alpha, self.beta] };
        for (factor, what) in factors.iter().zip(["alpha", "beta"]) {
            ensure!(
                a.dtype.is_differentiable() || self.form != Form::Mm || !matches!(factor, Scalar::Float(_)),
                Runtime,
                "For integral input tensors, argument {what} must not be a floating point number."
            );
        }
        Ok(OutSpec::one(shape, a.dtype))
    }

    fn saves(&self, needs: u8) -> Saves {
        let first = self.bias as u8;
        let (a, b) = (needs >> first & 1, needs >> (first + 1) & 1);
        Saves { inputs: (b | a << 1) << first, outputs: 0 }
    }

    fn vjp(&self, cx: &Ctx) -> Result<Grads> {
        let first = self.bias as usize;
        let g = cx.g().checked();
        let mut grads = no_grads(first + 2);
        if self.bias && cx.needs(0) {
            grads[0] = Some(scaled(&g, self.beta)?);
        }
        let alpha = self.alpha;
        for (i, slot) in grads.iter_mut().skip(first).enumerate() {
            if !cx.needs(first + i) {
                continue;
            }
            let other = cx.input(first + 1 - i)?;
            *slot = Some(match (self.form, i) {
                (Form::Dot, _) => scaled(&g.mul(&other)?.checked(), alpha)?,
                (Form::Mv, 0) => scaled(&g.unsqueeze(1)?.checked().mul(&other)?.checked(), alpha)?,
                (Form::Mv, _) => {
                    let t = other.checked().t()?;
                    Product { alpha, ..Product::new(Form::Mv, "mv", "MvBackward0", &t, &g) }.run(&t, &g)?
                }
                (Form::Mm, i) => {
                    let (gt, ot) = (g.mt()?, other.checked().mt()?);
                    match (i, self.columns[i]) {
                        (0, false) => back(Form::Mm, alpha, &g, &ot)?,
                        (0, true) => back(Form::Mm, alpha, &other, &gt)?.checked().mt()?,
                        (_, false) => back(Form::Mm, alpha, &ot, &g)?,
                        (_, true) => back(Form::Mm, alpha, &gt, &other)?.checked().mt()?,
                    }
                }
            });
        }
        Ok(grads)
    }

    fn kernel(self: Arc<Self>) -> Arc<dyn Kernel> {
        self
    }
}

fn scaled(g: &crate::Checked, factor: Scalar) -> Result<Tensor> {
    match factor {
        Scalar::Int(1) => Ok((**g).clone()),
        f if f.to_complex() == Complex::new(1.0, 0.0) => Ok((**g).clone()),
        f => g.mul(f),
    }
}

/// A dtype as C++ names the type, which some messages show.
pub(super) fn cpp_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "bool",
        DType::U8 => "unsigned char",
        DType::I8 => "signed char",
        DType::I16 => "short",
        DType::I32 => "int",
        DType::I64 => "long",
        DType::U32 => "unsigned int",
        DType::F16 => "c10::Half",
        DType::BF16 => "c10::BFloat16",
        DType::F32 => "float",
        DType::F64 => "double",
        DType::C64 => "c10::complex<float>",
        DType::C128 => "c10::complex<double>",
    }
}

/// Refuses operands of two dtypes in the words of `mm`.
fn same_dtype(a: &Tensor, b: &Tensor) -> Result<()> {
    let (da, db) = (a.dtype(), b.dtype());
    ensure!(
        da == db,
        Runtime,
        "expected m1 and m2 to have the same dtype, but got: {} != {}",
        cpp_name(da),
        cpp_name(db)
    );
    Ok(())
}

/// Refuses matrices that do not fit; `name` is the op's, as PyTorch puts it before the message.
pub(super) fn check_matrices(name: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    let (sa, sb) = (a.shape(), b.shape());
    ensure!(
        sa[1] == sb[0],
        Runtime,
        "{name}mat1 and mat2 shapes cannot be multiplied ({}x{} and {}x{})",
        sa[0],
        sa[1],
        sb[0],
        sb[1]
    );
    same_dtype(a, b)
}

/// The dims before a matrix's, with a vector as a matrix.
fn lead(shape: &[usize]) -> &[usize] {
    &shape[..shape.len().saturating_sub(2)]
}

/// Batches of any rank against each other: leading dims broadcast by strides alone.
#[track_caller]
fn batched(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let vectors = (a.dim() == 1, b.dim() == 1);
    let a = if vectors.0 { a.checked().unsqueeze(0)? } else { a.clone() };
    let b = if vectors.1 { b.checked().unsqueeze(1)? } else { b.clone() };
    let (sa, sb) = (a.shape(), b.shape());
    let batch = broadcast(lead(&sa), lead(&sb))?;
    let (m, k) = (sa[sa.len() - 2], sa[sa.len() - 1]);
    let (k2, n) = (sb[sb.len() - 2], sb[sb.len() - 1]);
    let count: usize = batch.iter().product();
    ensure!(
        k == k2,
        Runtime,
        "Expected size for first two dimensions of batch2 tensor to be: [{count}, {k}] but got: [{count}, {k2}]."
    );
    ensure!(
        a.dtype() == b.dtype(),
        Runtime,
        "expected scalar type {} but found {}",
        a.dtype().scalar_name(),
        b.dtype().scalar_name()
    );
    let full = |rows: usize, cols: usize| -> Vec<usize> { batch.iter().copied().chain([rows, cols]).collect() };
    let ea = if lead(&sa) == &batch[..] { a } else { a.checked().expand(full(m, k))? };
    let eb = if lead(&sb) == &batch[..] { b } else { b.checked().expand(full(k, n))? };
    let mut shape = batch.to_vec();
    shape.extend((!vectors.0).then_some(m));
    shape.extend((!vectors.1).then_some(n));
    let flat = |t: &Tensor, rows: usize, cols: usize| t.layout().try_view(&[count, rows, cols]).is_some();
    let out = if flat(&ea, m, k) && flat(&eb, k, n) {
        let (fa, fb) = (ea.checked().view([count, m, k])?, eb.checked().view([count, k, n])?);
        Product::new(Form::Mm, "bmm", "BmmBackward0", &fa, &fb).run(&fa, &fb)?
    } else {
        Product::new(Form::Mm, "bmm", "BmmBackward0", &ea, &eb).run(&ea, &eb)?
    };
    view(&out, UnsafeView { shape })
}

/// A batch times one matrix or vector as one tall product; None where the batch's dims cannot be merged without a copy.
#[track_caller]
fn folded(a: &Tensor, b: &Tensor) -> Option<Result<Tensor>> {
    let shape = a.shape();
    let k = shape[shape.len() - 1];
    let rows: usize = shape[..shape.len() - 1].iter().product();
    a.layout().try_view(&[rows, k])?;
    let fold = || {
        let tall = a.checked().view([rows, k])?;
        let mut out = shape[..shape.len() - 1].to_vec();
        let product = if b.dim() == 2 {
            out.push(b.shape()[1]);
            tall.checked().mm(b)?
        } else {
            tall.checked().mv(b)?
        };
        view(&product, UnsafeView { shape: out })
    };
    Some(fold())
}

methods! {
    /// The matrix product by PyTorch's rank rules: vectors give a dot product, a matrix and a vector a vector, and leading
    /// dims are a batch that broadcasts (`torch.matmul`).
    ///
    /// # Panics
    /// If the sizes do not fit, or the dtypes differ.
    ///
    /// ```
    /// # use wgtorch::prelude::*;
    /// let x = tensor!([[1., 2.], [3., 4.]]);
    /// assert_eq!(x.matmul(&x.t()).to_vec::<f32>()?, [5., 11., 11., 25.]);
    /// assert_eq!(ones([5, 1, 2, 3], ()).matmul(&ones([4, 3, 2], ())).shape(), [5, 4, 2, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    fn matmul(&self, other: &Tensor) -> Tensor {
        let (a, b) = (self.0, other);
        let dims = (a.dim(), b.dim());
        ensure!(
            dims.0 > 0 && dims.1 > 0,
            Runtime,
            "both arguments to matmul need to be at least 1D, but they are {}D and {}D",
            dims.0,
            dims.1
        );
        match dims {
            (1, 1) => self.dot(b),
            (2, 1) => self.mv(b),
            (1, 2) => self.unsqueeze(0)?.checked().mm(b)?.checked().squeeze_dim(0),
            (2, 2) => self.mm(b),
            (_, 1 | 2) => folded(a, b).unwrap_or_else(|| batched(a, b)),
            _ => batched(a, b),
        }
    }

    /// The product of two matrices (`torch.mm`).
    ///
    /// # Panics
    /// If the sizes do not fit, or the dtypes differ.
    fn mm(&self, mat2: &Tensor) -> Tensor {
        ensure!(self.dim() == 2, Runtime, "mm: self must be a matrix, got {}-D tensor", self.dim());
        ensure!(mat2.dim() == 2, Runtime, "mat2 must be a matrix");
        check_matrices("mm: ", self.0, mat2)?;
        Product::new(Form::Mm, "mm", "MmBackward0", self.0, mat2).run(self.0, mat2)
    }

    /// The products of two batches of as many matrices (`torch.bmm`).
    ///
    /// # Panics
    /// If the sizes do not fit, or the dtypes differ.
    fn bmm(&self, mat2: &Tensor) -> Tensor {
        check_batches(self.0, mat2)?;
        Product::new(Form::Mm, "bmm", "BmmBackward0", self.0, mat2).run(self.0, mat2)
    }

    /// A matrix times a vector (`torch.mv`).
    ///
    /// # Panics
    /// If the sizes do not fit, or the dtypes differ.
    fn mv(&self, vec: &Tensor) -> Tensor {
        check_mv(1, self.0, vec)?;
        let (sa, sb) = (self.shape(), vec.shape());
        ensure!(
            sa[1] == sb[0],
            Runtime,
            "size mismatch, got input ({}), mat ({}x{}), vec ({})",
            sa[0], sa[0], sa[1], sb[0]
        );
        same_dtype(self.0, vec)?;
        Product::new(Form::Mv, "addmv_impl_cpu", "MvBackward0", self.0, vec).run(self.0, vec)
    }

    /// The dot product of two vectors of one size (`torch.dot`).
    ///
    /// # Panics
    /// If the sizes or the dtypes differ.
    fn dot(&self, tensor: &Tensor) -> Tensor {
        let (na, nb) = (self.dim(), tensor.dim());
        ensure!(na == 1 && nb == 1, Runtime, "1D tensors expected, but got {na}D and {nb}D tensors");
        ensure!(
            self.dtype() == tensor.dtype(),
            Runtime,
            "dot : expected both vectors to have same dtype, but found {} and {}",
            self.dtype().scalar_name(),
            tensor.dtype().scalar_name()
        );
        let (a, b) = (self.numel(), tensor.numel());
        ensure!(
            a == b,
            Runtime,
            "inconsistent tensor size, expected tensor [{a}] and src [{b}] to have the same number of elements, but got {a} and {b} elements respectively"
        );
        Product::new(Form::Dot, "dot", "DotBackward0", self.0, tensor).run(self.0, tensor)
    }

    /// [`Tensor::dot`] with the conjugate of the tensor (`torch.vdot`).
    fn vdot(&self, tensor: &Tensor) -> Tensor { self.conj()?.checked().dot(tensor) }

    /// The product of every element of one vector with every one of another (`torch.outer`).
    ///
    /// # Panics
    /// If they are no vectors.
    fn outer(&self, vec2: &Tensor) -> Tensor {
        ensure!(self.dim() == 1, Runtime, "outer: Expected 1-D argument self, but got {}-D", self.dim());
        ensure!(vec2.dim() == 1, Runtime, "outer: Expected 1-D argument vec2, but got {}-D", vec2.dim());
        self.unsqueeze(1)?.checked().mul(vec2)
    }
}

pub(super) fn check_mv(input_dim: usize, mat: &Tensor, vec: &Tensor) -> Result<()> {
    let (na, nb) = (mat.dim(), vec.dim());
    ensure!(na == 2 && nb == 1, Runtime, "vector + matrix @ vector expected, got {input_dim}, {na}, {nb}");
    Ok(())
}

pub(super) fn check_batches(a: &Tensor, b: &Tensor) -> Result<()> {
    ensure!(a.dim() == 3, Runtime, "batch1 must be a 3D tensor");
    ensure!(b.dim() == 3, Runtime, "batch2 must be a 3D tensor");
    let (sa, sb) = (a.shape(), b.shape());
    ensure!(
        sa[0] == sb[0] && sa[2] == sb[1],
        Runtime,
        "Expected size for first two dimensions of batch2 tensor to be: [{}, {}] but got: [{}, {}].",
        sa[0],
        sa[2],
        sb[0],
        sb[1]
    );
    ensure!(
        a.dtype() == b.dtype(),
        Runtime,
        "expected scalar type {} but found {}",
        a.dtype().scalar_name(),
        b.dtype().scalar_name()
    );
    Ok(())
}
