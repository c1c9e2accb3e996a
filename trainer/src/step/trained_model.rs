//! A whole model of which all parts are trained, or some.

use idk_model::{ENCODER_POSITIONS, Lalm, Role, TensorMut};

use crate::step::parameters::Parameters;

/// A model, and which of its parts are trained. The others are constants: no gradient reaches them, the optimiser has no
/// state for them, and the backward pass leaves out what comes before the first trained part.
#[derive(Clone, Debug)]
pub struct TrainedModel {
    /// The model.
    pub lalm: Lalm,
    parts: Vec<Role>,
}

impl TrainedModel {
    /// A model that is trained as a whole.
    #[must_use]
    pub fn whole(lalm: Lalm) -> Self {
        Self::parts(lalm, Role::ALL.to_vec())
    }

    /// A model of which these parts are trained.
    #[must_use]
    pub fn parts(lalm: Lalm, parts: Vec<Role>) -> Self {
        Self { lalm, parts }
    }

    /// The first of the wanted parts that has no tensor: the head of a model that ties it to its embedding.
    pub(crate) fn missing_part(&mut self) -> Option<Role> {
        let mut missing = self.parts.clone();
        if missing.len() == Role::ALL.len() {
            return None;
        }
        self.for_each_tensor(&mut |name, _| missing.retain(|part| Role::of(name) != Some(*part)));
        missing.first().copied()
    }
}

impl Parameters for TrainedModel {
    fn for_each_tensor(&mut self, visit: &mut dyn FnMut(&str, TensorMut<'_>)) {
        let Self { lalm, parts } = self;
        lalm.for_each_tensor(&mut |name, slot| {
            let is_trained = Role::of(name).is_some_and(|part| parts.contains(&part));
            // The encoder's positions are fixed sinusoids.
            if is_trained && name != ENCODER_POSITIONS {
                visit(name, slot);
            }
        });
    }
}
