use std::collections::BTreeMap;
use idk_model::*;
use idk_trainer::*;
use idk_audio::*;
fn main() {
    let fixture = std::path::Path::new("/work/main/tests/fixtures/qwen2-audio-tiny");
    let dev = device("cpu").unwrap();
    let base = Lalm::load(fixture, &dev).unwrap();
    let mut c = base.config.clone();
    c.audio.d_model = 96; c.audio.encoder_layers = 3; c.audio.encoder_ffn_dim = 384; c.audio.max_source_positions = 1500;
    c.text.hidden_size = 128; c.text.intermediate_size = 352; c.text.num_hidden_layers = 4; c.text.head_dim = 32; c.text.max_position_embeddings=2048; c.text.rms_norm_eps=1e-6;
    let mut m = base.mel.config().clone(); m.chunk_length = 30;
    let lalm = Lalm::init(c, base.tokenizer.clone(), m, 1, &dev).unwrap();
    println!("{} params", lalm.num_params());
    let n: usize = std::env::var("N").map_or(48, |v| v.parse().unwrap());
    let micro: usize = std::env::var("MICRO").map_or(48, |v| v.parse().unwrap());
    let steps: u64 = std::env::var("STEPS").map_or(10, |v| v.parse().unwrap());
    let rows: Vec<Example> = (0..n).map(|i| {
        let s: Vec<f32> = (0..48000).map(|t| ((t * (i + 3)) as f32 * 0.01).sin() * 0.3).collect();
        Example { id: i.to_string(), audio: vec![lalm.mel.log_mel(&s)], messages: vec![Message::from_tagged("user", "<audio>what is heard and what not?\n(A) one\n(B) two")], target: ["dog", "two cats"][i % 2].into() }
    }).collect();
    let out = std::env::args().nth(1).unwrap();
    let dir = RunDir::new(&out);
    let fp = BTreeMap::new();
    let run = TrainRun { dir: &dir, seed: 1, base_name: "x", fingerprint: &fp, resume: std::env::var("RESUME").is_ok(), stop: None, warn: &|w| println!("{w}"), show_progress: false };
    if std::env::var("LORA").is_ok() {
        let cfg = TrainConfig { max_steps: Some(steps), batch_size: micro, accumulation: 2, save_every: 2, keep_last: 0, ..TrainConfig::default() };
        let (_, r) = train_lora(&lalm, &LoraConfig::default(), &rows, &rows[..4], &cfg, run).unwrap();
        println!("{r:?}\n{} ms/step", r.wall_s * 1000.0 / r.steps as f64);
    } else {
        let cfg = TrainConfig { max_steps: Some(steps), batch_size: micro, weight_decay: 0.05, ..TrainConfig::default() };
        let (_, r) = train_full(lalm, &|_| Ok(rows.clone()), None, &cfg, run).unwrap();
        println!("{r:?}\n{} ms/step", r.wall_s * 1000.0 / r.steps as f64);
    }
}
