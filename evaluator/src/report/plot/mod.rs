//! The plots of an evaluation, of its sweeps and training, and of a transfer experiment: what they show. Pages that hold
//! them are in [`crate::report::html`].

pub(crate) mod bars;
pub(crate) mod curves;
pub(crate) mod draw;
pub(crate) mod flows;
pub(crate) mod forest;
pub(crate) mod grid_curves;
pub(crate) mod heat;

pub(crate) mod training;
