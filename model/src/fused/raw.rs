//! The two places where speed needs unsafe code: output buffers that are not zeroed twice, and matrix products on
//! slices with strides.
#![expect(
    unsafe_code,
    reason = "uninitialised output buffers and the gemm crate's pointer interface, both measured"
)]

use std::mem::MaybeUninit;

use gemm::Parallelism;
use rayon::prelude::*;

/// A buffer of `len` values, filled by `fill(index, part)` in parts of `chunk` values, in parallel if there are several.
///
/// Each part is zero when `fill` sees it. Zeroing part by part, just before use, keeps it in cache; zeroing the
/// whole buffer first is a pass over memory of its own, on one thread.
pub(super) fn build(len: usize, chunk: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut out: Vec<f32> = Vec::with_capacity(len);
    if len == 0 {
        return out;
    }
    let spare = &mut out.spare_capacity_mut()[..len];
    if len <= chunk {
        // Through rayon even a single part would be handed to another thread.
        fill(0, zeroed(spare));
    } else {
        spare.par_chunks_mut(chunk).enumerate().for_each(|(index, part)| fill(index, zeroed(part)));
    }
    // SAFETY: the first `len` elements lie within the capacity, and every one of them was written by `zeroed`, as the
    // parts cover all of `spare`. If `fill` panics this line is not reached and the vector stays empty.
    unsafe { out.set_len(len) };
    out
}

fn zeroed(part: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    for value in part.iter_mut() {
        value.write(0.0);
    }
    // SAFETY: every element has just been written, and `MaybeUninit<f32>` has the layout of `f32`. The result borrows
    // `part` mutably for its whole life, so nothing else can reach the elements.
    unsafe { &mut *(std::ptr::from_mut(part) as *mut [f32]) }
}

/// A matrix in a slice, element `(i, j)` at `i * row_stride + j * col_stride`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `cols` adjacent values, `row_stride` apart.
    pub(super) fn new(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transpose, without a copy.
    pub(super) fn t(self) -> Self {
        let Self { data, rows, cols, row_stride, col_stride } = self;
        Self { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }

    fn fits(&self) -> bool {
        self.rows == 0
            || self.cols == 0
            || (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride < self.data.len()
    }
}

/// `out = scale * a b`, or `out += scale * a b`; the rows of `out` are `row_stride` apart. On the calling thread alone.
///
/// # Panics
/// If the sizes do not agree, a matrix is larger than its slice, or rows of `out` would overlap.
pub(super) fn product(
    scale: f32,
    a: Matrix,
    b: Matrix,
    accumulate: bool,
    out: &mut [f32],
    row_stride: usize,
) {
    gemm(scale, a, b, accumulate, &Destination::of(out, row_stride), Parallelism::None);
}

/// A new buffer with the dense rows of `scale * a b`, on all threads if the product is large, as in [`parallel_product`]; it is
/// written once, and not zeroed before.
///
/// # Panics
/// As [`product`].
pub(super) fn new_product(scale: f32, a: Matrix, b: Matrix) -> Vec<f32> {
    let len = a.rows * b.cols;
    if a.cols == 0 {
        return vec![0.0; len];
    }
    let mut out: Vec<f32> = Vec::with_capacity(len);
    let target = Destination { start: out.as_mut_ptr(), len, row_stride: b.cols };
    gemm(scale, a, b, false, &target, threads(a, b));
    // SAFETY: the product has written each of the `len` elements, which lie within the capacity, since neither side of it
    // is empty or there is none of them.
    unsafe { out.set_len(len) };
    out
}

/// `out += a b` with dense rows, on all threads if the product is large. Threads share out the elements of `out` and
/// never the terms of one, so their number does not change the result.
///
/// # Panics
/// As [`product`].
pub(super) fn parallel_product(a: Matrix, b: Matrix, out: &mut [f32]) {
    gemm(1.0, a, b, true, &Destination::of(out, b.cols), threads(a, b));
}

fn threads(a: Matrix, b: Matrix) -> Parallelism {
    // Below this many multiplications threads cost more than they save.
    const LARGE: usize = 1 << 20;
    if a.rows * a.cols * b.cols >= LARGE { Parallelism::Rayon(0) } else { Parallelism::None }
}

/// Where a product is written: memory for `len` values, rows `row_stride` apart.
struct Destination {
    start: *mut f32,
    len: usize,
    row_stride: usize,
}

impl Destination {
    fn of(out: &mut [f32], row_stride: usize) -> Self {
        Self { start: out.as_mut_ptr(), len: out.len(), row_stride }
    }
}

/// Memory that is not initialised is a `target` only where nothing accumulates.
fn gemm(scale: f32, a: Matrix, b: Matrix, accumulate: bool, target: &Destination, parallelism: Parallelism) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    let &Destination { start, len, row_stride } = target;
    assert!(k == b.rows && a.fits() && b.fits(), "operands do not fit");
    assert!(row_stride >= n && (m == 0 || n == 0 || (m - 1) * row_stride + n <= len), "output does not fit");
    if m == 0 || n == 0 {
        return;
    }
    // SAFETY: `fits` has checked that the last element of `a` and of `b`, and so every one, lies in its slice, and the
    // assertion above the same for the target, whose elements are distinct because its rows do not overlap. The target is
    // a mutable borrow or a buffer of its own, so it overlaps neither operand, and the product reads it only to accumulate.
    // The strides fit `isize` because they index slices.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            start,
            1,
            row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_buffer_is_filled_by_its_own_call() {
        let out = build(10, 4, |index, part| part.iter_mut().for_each(|value| *value += index as f32 + 1.0));
        assert_eq!(out, [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0]);
        assert!(build(0, 4, |_, _| ()).is_empty());
    }

    #[test]
    fn a_product_scales_adds_and_leaves_the_gaps_between_output_rows_alone() {
        let a = [1.0, 2.0, 9.0, 3.0, 4.0]; // [[1, 2], [3, 4]] with a gap of one
        let b = [1.0, 0.0, 2.0, 1.0]; // transposed: [[1, 2], [0, 1]]
        let mut out = [1.0, 1.0, 7.0, 1.0, 1.0];
        product(2.0, Matrix::new(&a, 2, 2, 3), Matrix::new(&b, 2, 2, 2).t(), true, &mut out, 3);
        assert_eq!(out, [3.0, 9.0, 7.0, 7.0, 21.0]);
        product(1.0, Matrix::new(&a, 2, 2, 3), Matrix::new(&b, 2, 2, 2), false, &mut out, 3);
        assert_eq!(out, [5.0, 2.0, 7.0, 11.0, 4.0]);
    }

    #[test]
    #[should_panic(expected = "operands do not fit")]
    fn a_matrix_larger_than_its_slice_is_refused() {
        product(
            1.0,
            Matrix::new(&[0.0; 5], 2, 3, 3),
            Matrix::new(&[0.0; 3], 3, 1, 1),
            false,
            &mut [0.0; 2],
            1,
        );
    }
}
