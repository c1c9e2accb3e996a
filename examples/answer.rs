//! Answers one question about one recording.
//!
//!     cargo run --release --example answer -- [MODEL] [RECORDING] [QUESTION]
#![expect(clippy::print_stdout, reason = "the answer is the result")]

use idk_model::{Chat, Lalm, SamplingConfig, device};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| given.get(index).map_or(default.to_owned(), Clone::clone);
    let model = argument(0, "checkpoints/mini-lalm");
    let recording = argument(1, "dataset-builder/bank/sound/event/beep-sonicpi-1.flac");
    let question =
        argument(2, "What is that sound?\nChoose one of the following options:\n(A) beep\n(B) applause");

    let lalm = Lalm::load(model.as_ref(), &device("cpu")?)?;
    let clip = lalm.load_audio(&recording)?;
    let answer = lalm.answer(&Chat::user(&question).with(clip), &SamplingConfig::default())?;
    println!("{} ({:.2} nats)", answer.text, answer.log_prob);
    Ok(())
}
