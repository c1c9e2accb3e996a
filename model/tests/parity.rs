//! The model against values of transformers: every stage of the forward pass, generation, loading and saving.
//!
//! The fixture folder is `tests/fixtures/qwen2-audio-tiny` at the root, or `IDK_FIXTURE_DIR`; no size is assumed.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it should be")]

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, activation::log_softmax};
use idk_audio::LogMel;
use idk_model::{
    ForwardContext, KvCache, Lalm, LalmConfig, ModelError, Prompt, SamplingConfig, SaveDtype, StatePosition,
    TokenBatch, answer_log_probs, generate, generate_in_rounds, log_sum_exp, prompt_states,
};
use safetensors::SafeTensors;
use serde_json::Value;

/// Largest difference allowed between float32 runs of the two implementations.
const TOLERANCE: f32 = 1e-4;

fn fixture() -> PathBuf {
    std::env::var_os("IDK_FIXTURE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny"),
        PathBuf::from,
    )
}

fn load() -> Lalm {
    Lalm::load(&fixture(), &Device::flex()).unwrap()
}

/// One golden array: shape and values.
struct Golden {
    shape: Vec<usize>,
    floats: Vec<f32>,
    ints: Vec<i32>,
}

fn golden(name: &str) -> Golden {
    let bytes = std::fs::read(fixture().join("golden.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let words: Vec<[u8; 4]> = view.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]).collect();
    Golden {
        shape: view.shape().to_vec(),
        floats: words.iter().map(|&word| f32::from_le_bytes(word)).collect(),
        ints: words.iter().map(|&word| i32::from_le_bytes(word)).collect(),
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance && found.iter().all(|v| v.is_finite()), "{what}: largest difference {worst}");
}

/// The spectrogram of fixture clip `a`, `b` or `c`, cut to the frames that the encoder needs.
fn mel(clip: &str) -> LogMel {
    let index = "abc".find(clip).unwrap();
    let (features, mask) = (golden("mel.input_features"), golden("mel.feature_attention_mask"));
    let (bands, window) = (features.shape[1], features.shape[2]);
    let valid_frames =
        mask.ints[index * window..(index + 1) * window].iter().filter(|&&flag| flag != 0).count();
    let frames = (2 * valid_frames.div_ceil(2) + 1).min(window);
    let rows = &features.floats[index * bands * window..(index + 1) * bands * window];
    let data = rows.chunks_exact(window).flat_map(|row| row[..frames].to_vec()).collect();
    LogMel { bands, frames, valid_frames, data }
}

fn prompt_json(name: &str) -> Value {
    let text = std::fs::read_to_string(fixture().join("prompts.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[name].clone()
}

fn prompt_ids(name: &str) -> Vec<u32> {
    prompt_json(name)["input_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// Projected audio of the clips that a prompt names, in order.
fn prompt_audio(lalm: &Lalm, name: &str) -> Vec<Tensor<2>> {
    let mels: Vec<LogMel> = prompt_json(name)["audios"]
        .as_array()
        .unwrap()
        .iter()
        .map(|clip| mel(clip.as_str().unwrap()))
        .collect();
    lalm.encode_audio(&mels.iter().collect::<Vec<_>>(), &ForwardContext::default()).unwrap()
}

fn prompt(lalm: &Lalm, name: &str) -> Prompt {
    Prompt { ids: prompt_ids(name), audio: prompt_audio(lalm, name), guide: None }
}

fn golden_batch(prefix: &str) -> TokenBatch {
    let (ids, mask) = (golden(&format!("{prefix}.input_ids")), golden(&format!("{prefix}.attention_mask")));
    let seq = ids.shape[1];
    TokenBatch {
        ids: ids.ints.chunks_exact(seq).map(|row| row.iter().map(|&id| id as u32).collect()).collect(),
        mask: mask.ints.chunks_exact(seq).map(|row| row.iter().map(|&flag| flag != 0).collect()).collect(),
    }
}

/// Values at the real tokens of a `[batch, seq, width]` array; the golden ones are zero at padding.
fn at_real_tokens(values: &[f32], mask: &[Vec<bool>], width: usize) -> Vec<f32> {
    let flags = mask.iter().flatten();
    values
        .chunks_exact(width)
        .zip(flags)
        .filter(|(_, real)| **real)
        .flat_map(|(row, _)| row.to_vec())
        .collect()
}

fn logits(lalm: &Lalm, batch: &TokenBatch, audio: &[Vec<Tensor<2>>]) -> Tensor<2> {
    let embeds = lalm.embed(batch, audio).unwrap();
    let hidden = lalm.decoder.hidden(embeds, &batch.mask, &ForwardContext::default(), None);
    lalm.decoder.logits(hidden.reshape([batch.rows() * batch.seq(), lalm.config.text.hidden_size]))
}

fn greedy(max_new_tokens: usize) -> SamplingConfig {
    SamplingConfig { max_new_tokens, ..SamplingConfig::default() }
}

#[test]
fn every_encoder_stage_equals_transformers() {
    let lalm = load();
    for (row, clip) in ["a", "b"].into_iter().enumerate() {
        let mut stages = lalm.encoder.stages(&mel(clip), &ForwardContext::default()).unwrap();
        let check = |name: &str, found: Tensor<2>| {
            let expected = golden(name);
            let (rows, width) = (expected.shape[1], expected.shape[2]);
            let start = row * rows * width;
            let found = values(found);
            assert_close(name, &found, &expected.floats[start..start + found.len()], TOLERANCE);
        };
        check("batch.enc.conv", stages.conv.remove(0));
        for (layer, mut found) in stages.layers.into_iter().enumerate() {
            check(&format!("batch.enc.layer.{layer}"), found.remove(0));
        }
        check("batch.enc.out", stages.out.remove(0));
    }
}

#[test]
fn clips_of_different_lengths_in_one_call_equal_transformers() {
    let lalm = load();
    let (a, b) = (mel("a"), mel("b"));
    let clips = lalm.encode_audio(&[&a, &b], &ForwardContext::default()).unwrap();
    assert_eq!([clips[0].dims()[0], clips[1].dims()[0]], [lalm.mel.tokens(&a), lalm.mel.tokens(&b)]);
    let expected = golden("batch.audio_features");
    for (row, found) in clips.into_iter().enumerate() {
        let start = row * expected.shape[1] * expected.shape[2];
        let found = values(found);
        assert_close("audio_features", &found, &expected.floats[start..start + found.len()], TOLERANCE);
    }
}

/// The hidden states of a prompt of the golden batch, one layer after the other: at the last token, and the mean of the
/// audio tokens' states.
fn golden_states(lalm: &Lalm, ids: &[u32], row: usize, layers: &[usize]) -> [Vec<f32>; 2] {
    let (mut last, mut means) = (Vec::new(), Vec::new());
    for layer in layers {
        let golden = golden(&format!("batch.lm_hidden.{layer}"));
        let (seq, hidden) = (golden.shape[1], golden.shape[2]);
        let token = |place: usize| &golden.floats[(row * seq + place) * hidden..][..hidden];
        last.extend_from_slice(token(seq - 1));
        let audio: Vec<usize> = (0..seq).filter(|&place| ids[place] == lalm.config.audio_token_id).collect();
        assert!(audio.len() > 1 && audio.len() < seq, "the mean is of some tokens");
        let sum = |at: usize| audio.iter().map(|&place| f64::from(token(place)[at])).sum::<f64>();
        means.extend((0..hidden).map(|at| (sum(at) / audio.len() as f64) as f32));
    }
    [last, means]
}

#[test]
fn the_states_of_prompts_equal_transformers_in_any_company() {
    let lalm = load();
    let batch = golden_batch("batch");
    let prompt = |(row, name): (usize, &str)| {
        let real = batch.ids[row].iter().zip(&batch.mask[row]).filter(|(_, real)| **real);
        Prompt { ids: real.map(|(id, _)| *id).collect(), audio: prompt_audio(&lalm, name), guide: None }
    };
    let prompts: Vec<Prompt> = ["batch0", "batch1"].into_iter().enumerate().map(prompt).collect();
    let layers = [0, lalm.config.text.num_hidden_layers, 1];
    let (last, mean) = (StatePosition::Last, StatePosition::AudioMean);
    let states = |prompts: &[Prompt], positions: &[StatePosition]| {
        prompt_states(&lalm, None, prompts, &layers, positions).unwrap()
    };
    let [ends, means, both] = [&[last][..], &[mean], &[mean, last]].map(|of| states(&prompts, of));
    for row in 0..2 {
        let [end, audio] = golden_states(&lalm, &batch.ids[row], row, &layers);
        assert_close("last states", &ends[row], &end, TOLERANCE);
        assert_close("means of audio", &means[row], &audio, TOLERANCE);
        assert_eq!(both[row], [&means[row][..], &ends[row]].concat(), "side by side");
        let alone = &prompts[row..=row];
        assert_close("last states alone", &states(alone, &[last])[0], &end, TOLERANCE);
        assert_close("means of audio alone", &states(alone, &[mean])[0], &audio, TOLERANCE);
    }
    let silent = Prompt { ids: vec![3, 1, 2], audio: Vec::new(), guide: None };
    assert!(states(&[silent], &[mean])[0].iter().all(|value| *value == 0.0), "nothing is heard");
    let error = prompt_states(&lalm, None, &prompts, &[99], &[last]).unwrap_err();
    assert!(error.to_string().contains("no layer 99"));
    for (layers, positions) in [(&[][..], &[last][..]), (&[0], &[])] {
        let none = prompt_states(&lalm, None, &prompts, layers, positions).unwrap();
        assert_eq!(none, vec![Vec::<f32>::new(); 2]);
    }
}

#[test]
fn hidden_states_logits_log_probs_and_loss_of_a_left_padded_batch_equal_transformers() {
    let lalm = load();
    let batch = golden_batch("batch");
    let audio = ["batch0", "batch1"].map(|name| prompt_audio(&lalm, name));
    let embeds = lalm.embed(&batch, &audio).unwrap();
    let states = lalm.decoder.hidden_states(embeds, &batch.mask, &ForwardContext::default());
    for (index, state) in states.into_iter().enumerate() {
        let expected = golden(&format!("batch.lm_hidden.{index}"));
        let width = expected.shape[2];
        let found = at_real_tokens(&values(state), &batch.mask, width);
        assert_close("lm_hidden", &found, &at_real_tokens(&expected.floats, &batch.mask, width), TOLERANCE);
    }
    let logits = logits(&lalm, &batch, &audio);
    let (expected, vocab) = (golden("batch.logits"), lalm.config.text.vocab_size);
    let found = at_real_tokens(&values(logits.clone()), &batch.mask, vocab);
    assert_close("logits", &found, &at_real_tokens(&expected.floats, &batch.mask, vocab), TOLERANCE);

    let (labels, token_logps) = (golden("batch.labels").ints, golden("batch.token_logps").floats);
    let log_probs = values(log_softmax(logits, 1));
    let seq = batch.seq();
    let places = (0..labels.len()).filter(|&place| place % seq > 0 && labels[place] >= 0);
    let (found, expected): (Vec<f32>, Vec<f32>) = places
        .map(|place| (log_probs[(place - 1) * vocab + labels[place] as usize], token_logps[place]))
        .unzip();
    assert_close("token_logps", &found, &expected, TOLERANCE);
    let loss = -found.iter().sum::<f32>() / found.len() as f32;
    assert_close("loss", &[loss], &golden("batch.loss").floats, TOLERANCE);
}

#[test]
fn two_audios_in_one_chat_and_a_chat_without_audio_equal_transformers() {
    let lalm = load();
    let multi = logits(&lalm, &golden_batch("multi"), &[prompt_audio(&lalm, "multi")]);
    let expected = golden("multi.logits_last16").floats;
    let found = values(multi);
    assert_close("multi", &found[found.len() - expected.len()..], &expected, TOLERANCE);
    let text = logits(&lalm, &golden_batch("text"), &[vec![]]);
    assert_close("text", &values(text), &golden("text.logits").floats, TOLERANCE);
}

#[test]
fn embedding_from_spectrograms_equals_embedding_from_encoded_audio() {
    let lalm = load();
    let batch = golden_batch("batch");
    let audio = ["batch0", "batch1"].map(|name| prompt_audio(&lalm, name));
    let apart = lalm.embed(&batch, &audio).unwrap();
    let (a, b) = (mel("a"), mel("b"));
    let at_once = lalm.embed_mels(&batch, &[vec![&a], vec![&b]], &ForwardContext::default()).unwrap();
    assert_close("embeds", &values(at_once), &values(apart), 1e-6);
}

#[test]
fn sharded_weights_under_the_transformers_5_names_load_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    copy_model(dir.path(), &["model.safetensors"]);
    let shards = fixture().join("sharded_v5names");
    for entry in std::fs::read_dir(&shards).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let sharded = Lalm::load(dir.path(), &Device::flex()).unwrap();
    assert_eq!(all_values(sharded), all_values(load()));
}

#[test]
fn greedy_answers_with_and_without_penalty_equal_transformers() {
    let lalm = load();
    let prompts = [prompt(&lalm, "batch0"), prompt(&lalm, "batch1")];
    for (name, repetition_penalty) in [("prompt.greedy", 1.0), ("prompt.greedy_rp1.5", 1.5)] {
        let expected = golden(name);
        let steps = expected.shape[1];
        let config = SamplingConfig { repetition_penalty, ..greedy(steps) };
        let answers = generate(&lalm, None, &prompts, &config, &[vec![0], vec![0]]).unwrap();
        for (answer, expected) in answers.iter().zip(expected.ints.chunks_exact(steps)) {
            let found = &answer[0].ids;
            let expected: Vec<u32> = expected.iter().take(found.len()).map(|&id| id as u32).collect();
            assert_eq!(found, &expected, "{name}");
            assert!(answer[0].finished || found.len() == steps);
        }
    }
}

#[test]
fn first_token_logits_equal_transformers() {
    let lalm = load();
    let expected = golden("sample.logits");
    let batch = golden_batch("prompt");
    let audio = ["batch0", "batch1"].map(|name| prompt_audio(&lalm, name));
    let (seq, vocab) = (batch.seq(), lalm.config.text.vocab_size);
    let found = values(logits(&lalm, &batch, &audio));
    let last: Vec<f32> =
        found.chunks_exact(seq * vocab).flat_map(|row| row[(seq - 1) * vocab..].to_vec()).collect();
    assert_close("sample.logits", &last, &expected.floats, TOLERANCE);
}

#[test]
fn decoding_with_the_cache_equals_the_full_forward_pass() {
    let lalm = load();
    let batch = golden_batch("batch");
    let audio = ["batch0", "batch1"].map(|name| prompt_audio(&lalm, name));
    let embeds = lalm.embed(&batch, &audio).unwrap();
    let context = ForwardContext::default();
    let full = lalm.decoder.hidden(embeds.clone(), &batch.mask, &context, None);
    let (seq, split) = (batch.seq(), batch.seq() - 5);
    let mut cache = KvCache::new(&lalm.config.text, 2, seq, &lalm.device, lalm.decoder.dtype());
    let mut start = 0;
    let mut parts = Vec::new();
    for end in [split, split + 3, split + 4, seq] {
        let mask: Vec<Vec<bool>> = batch.mask.iter().map(|row| row[start..end].to_vec()).collect();
        let piece = embeds.clone().narrow(1, start, end - start);
        parts.push(lalm.decoder.hidden(piece, &mask, &context, Some(&mut cache)));
        start = end;
    }
    let width = lalm.config.text.hidden_size;
    let pieces = at_real_tokens(&values(Tensor::cat(parts, 1)), &batch.mask, width);
    assert_close("cached", &pieces, &at_real_tokens(&values(full), &batch.mask, width), 2e-5);
}

#[test]
fn samples_of_one_prefill_equal_samples_drawn_one_by_one() {
    let lalm = load();
    let prompts =
        [prompt(&lalm, "batch0"), prompt(&lalm, "batch1"), prompt(&lalm, "multi"), prompt(&lalm, "text")];
    let config = SamplingConfig { temperature: 1.5, ..greedy(12) };
    let seeds: Vec<Vec<u64>> =
        (0..4).map(|prompt| (0..5).map(|sample| prompt * 100 + sample).collect()).collect();
    let together = generate(&lalm, None, &prompts, &config, &seeds).unwrap();
    let mut distinct = std::collections::BTreeSet::new();
    for (index, prompt) in prompts.iter().enumerate() {
        for (sample, seed) in seeds[index].iter().enumerate() {
            let alone = generate(&lalm, None, std::slice::from_ref(prompt), &config, &[vec![*seed]]).unwrap();
            let (found, expected) = (&together[index][sample], &alone[0][0]);
            assert_eq!((&found.ids, &found.text), (&expected.ids, &expected.text));
            assert_close("log-probs", &found.token_log_probs, &expected.token_log_probs, TOLERANCE);
            distinct.insert(found.ids.clone());
        }
    }
    assert!(distinct.len() > 10, "the seeds hardly matter: {} distinct answers", distinct.len());
}

#[test]
fn answers_drawn_in_rounds_are_the_first_of_those_drawn_at_once() {
    let lalm = load();
    let prompts = [prompt(&lalm, "batch0"), prompt(&lalm, "multi"), prompt(&lalm, "text")];
    let config = SamplingConfig { temperature: 1.5, repetition_penalty: 1.1, ..greedy(12) };
    let seeds: Vec<Vec<u64>> =
        (0..3).map(|prompt| (0..70).map(|sample| prompt * 100 + sample).collect()).collect();
    let at_once = generate(&lalm, None, &prompts, &config, &seeds).unwrap();
    // A few at a time to the end; two at a time up to the fourth; none at all.
    let rounds = std::sync::atomic::AtomicUsize::new(0);
    let more = |prompt: usize, so_far: &[idk_model::Generated]| match prompt {
        0 => {
            rounds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            1
        }
        1 if so_far.len() < 4 => 2,
        _ => 0,
    };
    let in_rounds = generate_in_rounds(&lalm, None, &prompts, &config, &seeds, &more).unwrap();
    assert!(rounds.into_inner() > 2, "it took one round");
    let counts: Vec<usize> = in_rounds.iter().map(Vec::len).collect();
    assert!(counts[0] == 70 && (4..70).contains(&counts[1]) && counts[2] == 0, "{counts:?}");
    for (found, expected) in in_rounds.iter().zip(&at_once) {
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!((&found.ids, &found.text), (&expected.ids, &expected.text));
            assert_close("log-probs", &found.token_log_probs, &expected.token_log_probs, TOLERANCE);
        }
    }
    let texts: std::collections::BTreeSet<&str> = in_rounds[0].iter().map(|row| row.text.as_str()).collect();
    assert!(texts.len() > 3, "the rounds hardly matter: {texts:?}");
}

#[test]
fn the_same_call_gives_the_same_bytes_again() {
    let lalm = load();
    let prompts = [prompt(&lalm, "batch0"), prompt(&lalm, "batch1")];
    let config = SamplingConfig {
        temperature: 1.0,
        top_k: 50,
        top_p: 0.95,
        repetition_penalty: 1.1,
        max_new_tokens: 8,
    };
    let seeds = [vec![1, 2, 3], vec![4, 5, 6]];
    let first = generate(&lalm, None, &prompts, &config, &seeds).unwrap();
    assert_eq!(first, generate(&lalm, None, &prompts, &config, &seeds).unwrap());
}

#[test]
fn answers_score_the_same_as_when_they_were_produced() {
    let lalm = load();
    let prompts = [prompt(&lalm, "batch0"), prompt(&lalm, "batch1")];
    let config = SamplingConfig { temperature: 1.2, ..greedy(9) };
    let made = generate(&lalm, None, &prompts, &config, &[vec![7, 8], vec![9]]).unwrap();
    let mut answers: Vec<Vec<Vec<u32>>> =
        made.iter().map(|list| list.iter().map(|answer| answer.ids.clone()).collect()).collect();
    answers[1].push(vec![]);
    let first_only = answers[0][0][..1].to_vec();
    answers[1].push(first_only);
    let scores = answer_log_probs(&lalm, None, &prompts, &answers).unwrap();
    for (list, scored) in made.iter().zip(&scores) {
        for (answer, scored) in list.iter().zip(scored) {
            assert_close("scores", scored, &answer.token_log_probs, TOLERANCE);
            let sum: f64 = answer.token_log_probs.iter().map(|&x| f64::from(x)).sum();
            assert!((answer.log_prob - sum).abs() < 1e-9);
        }
    }
    assert_eq!((scores[1][1].len(), scores[1][2].len()), (0, 1));
}

#[test]
fn token_log_probs_are_those_of_the_model_and_not_of_the_warped_distribution() {
    let lalm = load();
    let prompts = [prompt(&lalm, "batch0")];
    let config =
        SamplingConfig { temperature: 0.5, top_k: 2, top_p: 1.0, repetition_penalty: 1.3, max_new_tokens: 1 };
    let made = generate(&lalm, None, &prompts, &config, &[vec![3]]).unwrap();
    let vocab = lalm.config.text.vocab_size;
    let logits = &golden("sample.logits").floats[..vocab];
    let expected = f64::from(logits[made[0][0].ids[0] as usize]) - log_sum_exp(logits);
    assert_close("raw", &made[0][0].token_log_probs, &[expected as f32], TOLERANCE);
}

#[test]
fn a_saved_model_loads_back_the_same_and_rounds_once_in_bf16() {
    let lalm = load();
    let dir = tempfile::tempdir().unwrap();
    lalm.save(dir.path(), SaveDtype::F32).unwrap();
    let exact = Lalm::load(dir.path(), &Device::flex()).unwrap();
    assert_eq!(exact.config, lalm.config);
    assert_eq!(exact.generation, lalm.generation);
    assert_eq!(exact.mel.config(), lalm.mel.config());
    let original = all_values(lalm.clone());
    assert_eq!(all_values(exact), original);
    // The fixture's weights are bfloat16 on disk, so rounding to bfloat16 loses nothing.
    lalm.save(dir.path(), SaveDtype::Bf16).unwrap();
    assert_eq!(all_values(Lalm::load(dir.path(), &Device::flex()).unwrap()), original);
    let size = |dir: &Path| std::fs::metadata(dir.join("model.safetensors")).unwrap().len();
    assert_eq!(size(dir.path()), size(&fixture()));
    let ids = |lalm: &Lalm| lalm.tokenizer.encode("What's that sound?").unwrap();
    assert_eq!(ids(&Lalm::load(dir.path(), &Device::flex()).unwrap()), ids(&lalm));
}

#[test]
fn a_random_model_is_the_same_for_the_same_seed_and_answers() {
    let trained = load();
    let config = LalmConfig::from_dir(&fixture()).unwrap();
    let make = |seed| {
        let mel = *trained.mel.config();
        Lalm::init(config.clone(), trained.tokenizer.clone(), mel, seed, &Device::flex()).unwrap()
    };
    let (one, again, other) = (make(1), make(1), make(2));
    assert_eq!(all_values(one.clone()), all_values(again));
    assert_ne!(all_values(one.clone()), all_values(other));
    assert_eq!(one.num_params(), trained.num_params());
    let answer = generate(&one, None, &[prompt(&one, "batch0")], &greedy(3), &[vec![0]]).unwrap();
    assert!(answer[0][0].log_prob.is_finite());
    // A small output head predicts almost uniformly at first.
    let uniform = -(one.config.text.vocab_size as f32).ln();
    assert!((answer[0][0].token_log_probs[0] - uniform).abs() < 1.0);
}

#[test]
fn missing_unused_misshaped_and_non_finite_tensors_are_errors_that_name_the_tensor() {
    let name = "language_model.model.norm.weight";
    type Damage = fn(&mut Stored);
    let cases: [(&str, Damage); 4] = [
        ("is missing", |stored| stored.retain(|(name, ..)| name != "language_model.model.norm.weight")),
        ("is not used", |stored| {
            stored.push(("language_model.model.norm.bias".to_owned(), vec![1], vec![0.0]));
        }),
        ("has shape", |stored| entry(stored).1 = vec![1, entry(stored).2.len()]),
        ("not finite", |stored| entry(stored).2[1] = f32::NAN),
    ];
    for (message, damage) in cases {
        let dir = tempfile::tempdir().unwrap();
        copy_model(dir.path(), &["model.safetensors"]);
        let mut stored = read_weights();
        damage(&mut stored);
        write_weights(&dir.path().join("model.safetensors"), &stored);
        let error = Lalm::load(dir.path(), &Device::flex()).map(|_| ()).unwrap_err().to_string();
        let named = name.strip_suffix("weight").unwrap();
        assert!(
            error.contains(message) && error.contains(named) && error.contains("model.safetensors"),
            "{error}"
        );
    }
}

#[test]
fn a_folder_without_weights_or_with_a_cut_file_is_an_error_of_that_file() {
    let dir = tempfile::tempdir().unwrap();
    copy_model(dir.path(), &["model.safetensors"]);
    let load = |dir: &Path| Lalm::load(dir, &Device::flex()).map(|_| ()).unwrap_err();
    assert!(matches!(load(dir.path()), ModelError::NoWeights { .. }));
    let bytes = std::fs::read(fixture().join("model.safetensors")).unwrap();
    for cut in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        idk_common::fs::write_atomic(&dir.path().join("model.safetensors"), &bytes[..cut]).unwrap();
        assert!(matches!(load(dir.path()), ModelError::Weights { .. }), "cut to {cut} bytes");
    }
}

#[test]
fn a_placeholder_too_many_or_too_few_is_an_error_with_both_counts() {
    let lalm = load();
    let audio = prompt_audio(&lalm, "batch0");
    let mut ids = prompt_ids("batch0");
    let place = ids.iter().position(|&id| id == lalm.config.audio_token_id).unwrap();
    ids.remove(place);
    let tokens = audio[0].dims()[0];
    let batch = TokenBatch::left_padded(&[ids], lalm.tokenizer.pad_id());
    match lalm.embed(&batch, &[audio]) {
        Err(ModelError::AudioTokenCount { row: 0, placeholders, rows }) => {
            assert_eq!((placeholders, rows), (tokens - 1, tokens));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn gradients_reach_every_trained_tensor_of_the_full_model() {
    let mut lalm = load();
    lalm.for_each_tensor(&mut |_, mut slot| slot.make_trainable());
    let batch = golden_batch("batch");
    let (a, b) = (mel("a"), mel("b"));
    let embeds = lalm.embed_mels(&batch, &[vec![&a], vec![&b]], &ForwardContext::default()).unwrap();
    let hidden = lalm.decoder.hidden(embeds, &batch.mask, &ForwardContext::default(), None);
    let [rows, seq, width] = hidden.dims();
    let logits = lalm.decoder.logits(hidden.reshape([rows * seq, width]));
    let grads = log_softmax(logits, 1).narrow(1, 0, 3).sum().backward();
    lalm.for_each_tensor(&mut |name, slot| {
        let found = match slot {
            idk_model::TensorMut::R1(tensor) => tensor.grad(&grads).map(values),
            idk_model::TensorMut::R2(tensor) => tensor.grad(&grads).map(values),
            idk_model::TensorMut::R3(tensor) => tensor.grad(&grads).map(values),
        };
        let grad = found.unwrap_or_else(|| panic!("{name} has no gradient"));
        assert!(
            grad.iter().all(|value| value.is_finite()) && grad.iter().any(|&value| value != 0.0),
            "{name}"
        );
    });
}

type Stored = Vec<(String, Vec<usize>, Vec<f32>)>;

fn entry(stored: &mut Stored) -> &mut (String, Vec<usize>, Vec<f32>) {
    stored.iter_mut().find(|(name, ..)| name == "language_model.model.norm.weight").unwrap()
}

fn read_weights() -> Stored {
    let mut stored = Vec::new();
    load().for_each_tensor(&mut |name, slot| {
        stored.push((name.to_owned(), slot.dims(), slot.to_data().iter::<f32>().collect()));
    });
    stored
}

fn write_weights(path: &Path, stored: &Stored) {
    let bytes: Vec<Vec<u8>> =
        stored.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = stored.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    idk_common::fs::write_atomic(path, &safetensors::serialize(views, None).unwrap()).unwrap();
}

fn all_values(mut lalm: Lalm) -> Stored {
    let mut stored = Vec::new();
    lalm.for_each_tensor(&mut |name, slot| {
        stored.push((name.to_owned(), slot.dims(), slot.to_data().iter::<f32>().collect()));
    });
    stored
}

/// Copies the top files of the fixture folder except `without`.
fn copy_model(to: &Path, without: &[&str]) {
    for entry in std::fs::read_dir(fixture()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_file() && !without.contains(&name.as_str()) {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}
