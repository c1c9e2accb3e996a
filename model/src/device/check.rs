//! Whether a GPU computes what it is asked to, in the type of a model's weights.
//!
//! A kernel that cannot be compiled or run fails on a thread of the GPU's runtime, with a message but without an error: its
//! output is zeros, and a run would continue with them.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::device::run_settings::is_gpu;
use crate::error::ModelError;

/// Rows, columns and terms of the product: more than one tile, and no multiple of one.
const ROWS: usize = 72;
const COLUMNS: usize = 56;
const TERMS: usize = 200;

/// Multiplies two matrices on a GPU, in float32 and in the type of the weights, and compares with the host; the CPU is
/// believed.
///
/// # Errors
/// [`ModelError::DeviceCheck`] if the GPU lacks the type, or gives another product.
pub(crate) fn check(device: &Device, weights: DType) -> Result<(), ModelError> {
    if !is_gpu(device) {
        return Ok(());
    }
    // Adapters compute in float32 whatever the weights are.
    check_type(device, DType::F32, "f32")?;
    if weights == DType::BF16 { check_type(device, weights, "bf16") } else { Ok(()) }
}

fn check_type(device: &Device, dtype: DType, name: &str) -> Result<(), ModelError> {
    if !device.supports_dtype(dtype) {
        return Err(ModelError::DeviceCheck {
            what: format!("it does not compute in {name}"),
            hint: "set model.dtype to another type, or use `cpu`",
        });
    }
    let found = product(device, dtype)?;
    compare(&found).map_err(|difference| ModelError::DeviceCheck {
        what: format!("a product of two matrices in {name} is wrong: {difference}"),
        hint: "the lines above may say which kernel could not be compiled or run; a driver or CUDA of another version is a \
               likely cause",
    })
}

/// -1, 0 and 1: every type holds them, and sums of `TERMS` of their products, exactly.
fn value(place: usize) -> i32 {
    (place * 7 + place / 5) as i32 % 3 - 1
}

/// `[ROWS, TERMS]` times the transpose of `[COLUMNS, TERMS]`, as linear layers have it.
fn product(device: &Device, dtype: DType) -> Result<Vec<f32>, ModelError> {
    let matrix = |rows: usize, from: usize| {
        let values: Vec<f32> = (from..from + rows * TERMS).map(|place| value(place) as f32).collect();
        Tensor::<2>::from_data(TensorData::new(values, [rows, TERMS]), device).cast(dtype)
    };
    let product = matrix(ROWS, 0).matmul(matrix(COLUMNS, ROWS * TERMS).transpose());
    let data = product.cast(DType::F32).try_into_data();
    let data = data.map_err(|error| ModelError::Compute { what: error.to_string() })?;
    data.try_into_vec::<f32>().map_err(|error| ModelError::Compute { what: format!("{error:?}") })
}

/// The first element that is not that of the product in whole numbers.
fn compare(found: &[f32]) -> Result<(), String> {
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let term = |at: usize| value(row * TERMS + at) * value((ROWS + column) * TERMS + at);
            let expected: i32 = (0..TERMS).map(term).sum();
            let found = found.get(row * COLUMNS + column).copied().unwrap_or(f32::NAN);
            if found != expected as f32 {
                return Err(format!("row {row}, column {column} is {found} and not {expected}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_is_exact_in_every_type_of_weights() {
        for dtype in [DType::F32, DType::BF16] {
            let found = product(&Device::flex(), dtype).unwrap();
            assert!(found.iter().any(|&sum| sum != 0.0));
            assert_eq!(compare(&found), Ok(()));
        }
    }

    #[test]
    fn a_kernel_that_wrote_nothing_is_found() {
        let difference = compare(&vec![0.0; ROWS * COLUMNS]).unwrap_err();
        assert!(difference.starts_with("row 0, column "), "{difference}");
    }
}
