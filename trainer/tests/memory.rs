//! Promises about memory, measured by counting what a step allocates.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]
#![expect(unsafe_code, reason = "an allocator that counts can be written in no other way")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use idk_audio::LogMel;
use idk_model::{Adapters, Lalm, LoraConfig, Message, RunSettings};
use idk_trainer::testing::{AudioInput, RowTokens, TrainingBatch, WholeRows};
use idk_trainer::{Clip, MemoryInput, TrainingRow, estimate_memory};
use support::{cpu, sft_gradients};

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, which also counts the bytes that are held and the most that ever were.
struct Counting;

impl Counting {
    fn took(bytes: usize) {
        let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
        PEAK.fetch_max(held, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::took(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/mini-lalm")
}

const ROWS: usize = 8;
const CLIP_S: f64 = 3.0;

/// Rows of three seconds of noise each.
fn batch(lalm: &Lalm) -> TrainingBatch {
    let rate = lalm.mel.config().sampling_rate as f64;
    let samples: Vec<f32> =
        (0..(CLIP_S * rate) as usize).map(|i| ((i * i) as f32 * 0.37).sin() * 0.1).collect();
    let mel: LogMel = lalm.mel.log_mel(&samples);
    let row = |index: usize| TrainingRow {
        id: format!("row-{index}"),
        audio: vec![Clip::of_mel(mel.clone(), &lalm.mel)],
        messages: vec![Message::from_tagged("user", "<audio>Which of these is heard?")],
        answers: vec!["I don't know.".to_owned()],
        error_rate: None,
    };
    let rows: Vec<TrainingRow> = (0..ROWS).map(row).collect();
    let tokens: Vec<_> = rows.iter().map(|row| RowTokens::of(lalm, row).unwrap()).collect();
    let features = lalm.encode_audio(&[&mel; ROWS], &idk_model::ForwardContext::default()).unwrap();
    let audio = AudioInput::Features(features.into_iter().map(|clip| vec![clip]).collect());
    let ids = rows.into_iter().map(|row| row.id).collect();
    TrainingBatch::collate(ids, (0..ROWS).collect(), &tokens, audio, lalm.tokenizer.pad_id())
}

/// The most bytes that a step holds in addition to what was there before.
fn peak_of_a_step(lalm: &Lalm, adapters: &Adapters, batch: &TrainingBatch) -> usize {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    sft_gradients(lalm, adapters, std::slice::from_ref(batch), &[]);
    PEAK.load(Ordering::Relaxed) - before
}

// One test: the counts are those of the whole process.
#[test]
fn layers_that_run_again_hold_far_less_and_the_estimate_of_both_is_about_right() {
    let mut lalm = Lalm::load(&folder(), &cpu()).unwrap();
    let lora = LoraConfig::default();
    let adapters = Adapters::init(&lalm, &lora, 1).unwrap();
    let batch = batch(&lalm);
    let (tokens, text) = (WholeRows::of(&batch, 0).tokens.seq(), lalm.config.text.clone());
    let input = MemoryInput {
        model: &lalm.config.clone(),
        lora: &lora,
        weight_bytes: 4,
        quantisation: None,
        fused: true,
        audio_tokens: tokens - 90,
        text_tokens: 90,
        batch_size: ROWS,
        answers_per_row: 1,
        at_once: 1,
        clip_tokens: 0,
        feature_limit_bytes: 0,
        pad_to: 1,
        gradient_checkpointing: false,
    };
    sft_gradients(&lalm, &adapters, std::slice::from_ref(&batch), &[]); // packs the weights
    let kept = peak_of_a_step(&lalm, &adapters, &batch);
    lalm.set_run(RunSettings { gradient_checkpointing: true, ..RunSettings::PLAIN });
    let again = peak_of_a_step(&lalm, &adapters, &batch);
    // Four layers: the best that is possible is one layer and four inputs.
    assert!(text.num_hidden_layers == 4 && again * 2 < kept, "{again} {kept}");
    for (gradient_checkpointing, measured) in [(false, kept), (true, again)] {
        let estimate = estimate_memory(&MemoryInput { gradient_checkpointing, ..input.clone() }).unwrap();
        let ratio = measured as f64 / (estimate.activations + estimate.optimiser / 3) as f64;
        assert!(
            (0.6..1.5).contains(&ratio),
            "gradient_checkpointing {gradient_checkpointing}: {measured} measured, {estimate:?}"
        );
    }
    assert_eq!(estimate_memory(&input).unwrap().lora, 4 * adapters.num_params() as u64);
    let parameters = estimate_memory(&input).unwrap().weights;
    assert!(parameters > lalm.num_params() as u64 * 4, "{parameters}");
}
