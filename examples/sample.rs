//! Samples a question several times and labels it: known if at least K of N answers are correct.
//!
//!     cargo run --release --example sample
#![expect(clippy::print_stdout, reason = "the label is the result")]

use idk_model::{Answerer, Chat, FeatureLimits, FeatureStore, Lalm, SamplingConfig, device};
use idk_questions::{PromptStyle, Question, Verdict, judge, prompt_text};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let question = Question {
        question: "What is that sound?".to_owned(),
        choices: ["beep", "applause", "rain", "dog"].map(str::to_owned).to_vec(),
        answer: "beep".to_owned(),
        ..Question::default()
    };
    let lalm = Lalm::load("checkpoints/mini-lalm".as_ref(), &device("cpu")?)?;
    let clip = lalm.load_audio("dataset-builder/bank/sound/event/beep-sonicpi-1.flac")?;
    let chat = Chat::user(&prompt_text(&question, PromptStyle::default())).with(clip);

    let features = FeatureStore::new("", FeatureLimits::NONE);
    let answerer = Answerer::base(&lalm, &features);
    let decoding = SamplingConfig { temperature: 1.0, ..SamplingConfig::default() };
    let (n, k) = (5, 5);
    let samples = answerer.answer(&answerer.prompts(&[chat])?, &decoding, &[(0..n).collect()])?;
    let correct =
        samples[0].iter().filter(|sample| judge(&sample.text, &question).verdict == Verdict::Correct);
    let correct = correct.count();
    println!("{correct} of {n} correct: {}", if correct >= k { "known" } else { "unknown" });
    Ok(())
}
