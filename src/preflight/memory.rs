//! How much memory the training would take: the trainer's estimate for the rows that were looked at.

use idk_model::ModelInfo;
use idk_trainer::{MemoryInput, estimate_memory, rows_at_once};
use serde::Serialize;

use super::preview::Preview;
use crate::recipe::Recipe;
use crate::terminal::Failure;

/// Memory in bytes, as far as it can be counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct MemoryPlan {
    weights: Option<u64>,
    /// Trained values, gradients and moments.
    trained: Option<u64>,
    /// Audio features that are kept over epochs.
    features: Option<u64>,
    /// Everything at its peak, activations included.
    peak: Option<u64>,
}

impl MemoryPlan {
    pub(super) fn lines(&self) -> Vec<String> {
        let parts = [
            ("weights", self.weights),
            ("trained values, gradients and moments", self.trained),
            ("audio features", self.features),
        ];
        let parts: Vec<String> =
            parts.iter().filter_map(|(name, bytes)| Some(format!("{name} {}", mib((*bytes)?)))).collect();
        let mut lines = Vec::new();
        if !parts.is_empty() {
            lines.push(format!("memory    {}", parts.join("; ")));
        }
        if let Some(peak) = self.peak {
            lines.push(format!("peak      about {}", mib(peak)));
        }
        lines
    }
}

fn mib(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

/// The trainer's own estimate; nothing without a model.
///
/// # Errors
/// Adapters that do not fit the model.
pub(super) fn memory(
    recipe: &Recipe,
    outline: Option<&ModelInfo>,
    preview: &Preview,
) -> Result<MemoryPlan, Failure> {
    let Some(outline) = outline else { return Ok(MemoryPlan::default()) };
    let estimate = estimate_memory(&memory_input(recipe, outline, preview))?;
    Ok(MemoryPlan {
        weights: Some(estimate.weights),
        trained: Some(estimate.lora + estimate.optimiser),
        features: Some(estimate.features).filter(|bytes| *bytes > 0),
        peak: Some(estimate.total),
    })
}

/// Whether the weights will be bfloat16, those on an NVIDIA GPU being taken to be stored in 16 bits.
fn in_half(recipe: &Recipe) -> bool {
    recipe.run_settings().bf16(recipe.model.device.starts_with("cuda"), true)
}

fn on_gpu(recipe: &Recipe) -> bool {
    recipe.model.device != "cpu"
}

/// The longest of the rows that were looked at stand for all.
fn memory_input<'a>(recipe: &'a Recipe, outline: &'a ModelInfo, preview: &Preview) -> MemoryInput<'a> {
    let on_gpu = on_gpu(recipe);
    let half = in_half(recipe);
    let threads = if on_gpu { 1 } else { rayon::current_num_threads() };
    let rows = rows_at_once(recipe.train.batch_size, on_gpu);
    let parts = recipe.train.batch_size.div_ceil(rows.max(1)) * recipe.train.gradient_accumulation_steps;
    MemoryInput {
        model: &outline.config,
        lora: &recipe.lora,
        weight_bytes: if half { 2 } else { 4 },
        quantisation: recipe.model.dtype.quantisation(),
        fused: !on_gpu && !half,
        audio_tokens: preview.most_audio_tokens,
        text_tokens: preview.most_text_tokens,
        batch_size: rows,
        answers_per_row: recipe.method().answers_per_row(),
        at_once: parts.min(threads).max(1),
        clip_tokens: preview.clip_tokens,
        feature_limit_bytes: recipe.train.feature_cache_mib.saturating_mul(1 << 20),
        pad_to: recipe.run_settings().pad_to(on_gpu),
        gradient_checkpointing: recipe.train.gradient_checkpointing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_units_that_can_be_read() {
        assert_eq!([mib(1 << 19), mib(5 << 20), mib(3 << 30)], ["0.5 MiB", "5.0 MiB", "3.0 GiB"]);
    }

    #[test]
    fn what_cannot_be_counted_is_left_out() {
        assert_eq!(MemoryPlan::default().lines(), Vec::<String>::new());
        let memory = MemoryPlan { trained: Some(16 << 20), peak: Some(1 << 30), ..MemoryPlan::default() };
        let said = memory.lines();
        assert_eq!(said[0], "memory    trained values, gradients and moments 16.0 MiB");
        assert_eq!(said[1], "peak      about 1.0 GiB");
    }
}
