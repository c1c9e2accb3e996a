//! The state of the optimiser as a file of a checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use idk_common::fs;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::TrainError;
use crate::step::optimizer::{AdamW, Moments};
use crate::step::parameters::Parameters;

impl AdamW {
    /// The moments of every tensor by name.
    fn by_name(&self) -> BTreeMap<String, Moments> {
        self.moments.iter().cloned().flat_map(Moments::split).collect()
    }

    /// Writes the state as safetensors: `<name>.exp_avg` and `<name>.exp_avg_sq` (F32) and `<name>.step` (I64).
    ///
    /// # Errors
    /// A state that cannot be read from the device, or a file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let by_name = self.by_name();
        let mut tensors: Vec<(String, Dtype, Vec<u8>)> = Vec::with_capacity(3 * by_name.len());
        for (name, moments) in &by_name {
            for (suffix, tensor) in [("exp_avg", &moments.exp_avg), ("exp_avg_sq", &moments.exp_avg_sq)] {
                let key = format!("{name}.{suffix}");
                let values: Vec<f32> = tensor.try_to_vec_as().map_err(TrainError::device(&key))?;
                tensors.push((
                    key,
                    Dtype::F32,
                    values.iter().flat_map(|value| value.to_le_bytes()).collect(),
                ));
            }
            tensors.push((format!("{name}.step"), Dtype::I64, moments.step.to_le_bytes().to_vec()));
        }
        let failed = |error: safetensors::SafeTensorError| TrainError::Checkpoint {
            path: path.to_path_buf(),
            reason: error.to_string(),
        };
        let mut views = Vec::with_capacity(tensors.len());
        for (key, dtype, bytes) in &tensors {
            let elements = bytes.len() * 8 / dtype.bitsize();
            views.push((key.as_str(), TensorView::new(*dtype, vec![elements], bytes).map_err(failed)?));
        }
        let bytes = safetensors::serialize(views, None).map_err(failed)?;
        Ok(fs::write_atomic(path, &bytes)?)
    }

    /// Reads a state that [`AdamW::save`] wrote; the hyper-parameters stay as they are.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] if the file is not such a state.
    pub fn load(&mut self, path: &Path, device: &Device) -> Result<(), TrainError> {
        let bytes = fs::read(path)?;
        let damaged = |reason: String| TrainError::Checkpoint { path: path.to_path_buf(), reason };
        let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
        let mut moments = Vec::new();
        for key in file.names() {
            let Some(name) = key.strip_suffix(".step") else { continue };
            let moment = |suffix: &str| {
                let key = format!("{name}.{suffix}");
                let view = file.tensor(&key).map_err(|error| damaged(format!("`{key}`: {error}")))?;
                if view.dtype() != Dtype::F32 {
                    return Err(damaged(format!("`{key}` is not F32")));
                }
                let values: Vec<f32> =
                    view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                let elements = values.len();
                Ok(Tensor::<1>::from_data(TensorData::new(values, [elements]), device))
            };
            let step = file.tensor(key).map_err(|error| damaged(error.to_string()))?;
            let step: [u8; 8] =
                step.data().try_into().map_err(|_| damaged(format!("`{key}` is not one number")))?;
            let (exp_avg, exp_avg_sq) = (moment("exp_avg")?, moment("exp_avg_sq")?);
            let (elements, squares) = (exp_avg.dims()[0], exp_avg_sq.dims()[0]);
            if elements != squares {
                return Err(damaged(format!(
                    "the moments of `{name}` have {elements} and {squares} elements"
                )));
            }
            let tensors = vec![(name.to_owned(), elements)];
            moments.push(Moments { tensors, step: u64::from_le_bytes(step), exp_avg, exp_avg_sq });
        }
        if file.len() != 3 * moments.len() {
            return Err(damaged(format!("{} tensors for {} parameters", file.len(), moments.len())));
        }
        self.moments = moments;
        Ok(())
    }

    /// Checks that the state fits the tensors that it will update.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] names the first tensor that has a state of another size, or a state without tensor.
    pub fn check_fits(&self, parameters: &mut impl Parameters, path: &Path) -> Result<(), TrainError> {
        let mut sizes = BTreeMap::new();
        parameters.for_each_tensor(&mut |name, slot| {
            sizes.insert(name.to_owned(), slot.dims().iter().product::<usize>());
        });
        for (name, found) in self.moments.iter().flat_map(|moments| &moments.tensors) {
            if sizes.get(name) != Some(found) {
                let reason = format!("the optimiser state of `{name}` has {found} elements");
                return Err(TrainError::Checkpoint { path: path.to_path_buf(), reason });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::step::optimizer::tests::{Toy, config, gradients, toy, values};

    use super::*;

    #[test]
    fn a_saved_state_goes_on_bit_for_bit_and_is_byte_stable() {
        let dir = tempfile::tempdir().unwrap();
        let (path, again) = (dir.path().join("optimizer.safetensors"), dir.path().join("again.safetensors"));
        let (mut whole, mut optimizer) = (toy(), AdamW::new(&config(), true));
        for step in 0..3 {
            optimizer.step(&mut whole, gradients(step), 0.01);
        }
        optimizer.save(&path).unwrap();
        let mut resumed = Toy { matrix: whole.matrix.clone(), vector: whole.vector.clone() };
        let mut loaded = AdamW::new(&config(), true);
        loaded.load(&path, &Device::flex()).unwrap();
        loaded.check_fits(&mut resumed, &path).unwrap();
        loaded.save(&again).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
        for step in 3..6 {
            optimizer.step(&mut whole, gradients(step), 0.01);
            loaded.step(&mut resumed, gradients(step), 0.01);
        }
        assert_eq!(values(&whole), values(&resumed));
    }

    #[test]
    fn a_state_of_other_tensors_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (mut toy, mut optimizer) = (toy(), AdamW::new(&config(), true));
        optimizer.step(&mut toy, gradients(0), 0.01);
        toy.vector = Tensor::zeros([3], &Device::flex());
        assert!(optimizer.check_fits(&mut toy, dir.path()).is_err());
    }
}
