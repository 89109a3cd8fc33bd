//! What a CPU kernel sees of a tensor: a pointer, sizes and strides. Never a slice, since operands may share memory.

use std::marker::PhantomData;

/// A strided tensor to read; `ptr` is its first element, sizes and strides count elements.
#[derive(Clone, Copy)]
pub struct View<'a, T> {
    ptr: *const T,
    /// Size of each dim.
    pub shape: &'a [usize],
    /// Elements between neighbours along each dim.
    pub strides: &'a [usize],
    life: PhantomData<&'a T>,
}

/// A strided tensor to write; its memory may be uninitialised.
#[derive(Clone, Copy)]
pub struct ViewMut<'a, T> {
    ptr: *mut T,
    /// Size of each dim.
    pub shape: &'a [usize],
    /// Elements between neighbours along each dim.
    pub strides: &'a [usize],
    life: PhantomData<&'a T>,
}

// SAFETY: a view is a pointer into memory that its maker keeps alive and locked for the kernel's run; kernels that share
// one between threads write disjoint elements.
unsafe impl<T: Send + Sync> Send for View<'_, T> {}
unsafe impl<T: Send + Sync> Sync for View<'_, T> {}
unsafe impl<T: Send + Sync> Send for ViewMut<'_, T> {}
unsafe impl<T: Send + Sync> Sync for ViewMut<'_, T> {}

impl<'a, T: Copy> View<'a, T> {
    /// A view of memory.
    ///
    /// # Safety
    /// Every element that shape and strides reach from `ptr` is valid for reads for `'a`, and nobody writes it meanwhile
    /// except the kernel that holds the view.
    #[inline]
    pub unsafe fn new(ptr: *const T, shape: &'a [usize], strides: &'a [usize]) -> View<'a, T> {
        View { ptr, shape, strides, life: PhantomData }
    }

    /// A row-major view of a slice.
    pub fn from_slice(data: &'a [T], shape: &'a [usize], strides: &'a [usize]) -> View<'a, T> {
        let end = 1 + shape.iter().zip(strides).map(|(&n, &s)| n.saturating_sub(1) * s).sum::<usize>();
        assert!(shape.contains(&0) || end <= data.len(), "view past the end of a slice");
        View { ptr: data.as_ptr(), shape, strides, life: PhantomData }
    }

    /// The first element.
    #[inline]
    pub fn ptr(&self) -> *const T {
        self.ptr
    }

    /// Number of elements.
    #[inline]
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Row-major without gaps.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        is_contiguous(self.shape, self.strides)
    }

    /// The element at an offset in elements from the first.
    ///
    /// # Safety
    /// `offset` is one that shape and strides reach.
    #[inline]
    pub unsafe fn at(&self, offset: usize) -> T {
        // SAFETY: the caller's promise.
        unsafe { *self.ptr.add(offset) }
    }
}

impl<'a, T: Copy> ViewMut<'a, T> {
    /// A view of memory to write.
    ///
    /// # Safety
    /// Every element that shape and strides reach from `ptr` is valid for writes for `'a`.
    #[inline]
    pub unsafe fn new(ptr: *mut T, shape: &'a [usize], strides: &'a [usize]) -> ViewMut<'a, T> {
        ViewMut { ptr, shape, strides, life: PhantomData }
    }

    /// A view of a slice, to write.
    pub fn from_slice(data: &'a mut [T], shape: &'a [usize], strides: &'a [usize]) -> ViewMut<'a, T> {
        let end = 1 + shape.iter().zip(strides).map(|(&n, &s)| n.saturating_sub(1) * s).sum::<usize>();
        assert!(shape.contains(&0) || end <= data.len(), "view past the end of a slice");
        ViewMut { ptr: data.as_mut_ptr(), shape, strides, life: PhantomData }
    }

    /// The first element.
    #[inline]
    pub fn ptr(&self) -> *mut T {
        self.ptr
    }

    /// Number of elements.
    #[inline]
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Row-major without gaps.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        is_contiguous(self.shape, self.strides)
    }

    /// Writes the element at an offset in elements from the first.
    ///
    /// # Safety
    /// `offset` is one that shape and strides reach, and no other thread touches that element.
    #[inline]
    pub unsafe fn put(&self, offset: usize, value: T) {
        // SAFETY: the caller's promise.
        unsafe { self.ptr.add(offset).write(value) }
    }
}

/// Row-major without gaps; dims of size 1 do not count.
#[inline]
pub fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    for (&n, &s) in shape.iter().zip(strides).rev() {
        if n == 0 {
            return true;
        }
        if n != 1 {
            if s != expected {
                return false;
            }
            expected *= n;
        }
    }
    true
}
