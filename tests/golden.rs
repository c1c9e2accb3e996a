//! The model, its adapters and its training steps against values that PyTorch, transformers and PEFT computed on a tiny
//! random model of each family (`tests/fixtures/README.md`). `IDK_FIXTURE_DIR` names another folder of the same layout.
//! `-- --nocapture` prints the greatest difference of every comparison. `IDK_TEST_DEVICE=cuda`, `IDK_TEST_DTYPE=bf16` and
//! `IDK_TEST_TOLERANCE=1e-3` run the same checks on a GPU, where float32 products may be rounded to 10 bits.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests, which clippy does not count as tests"
)]

#[path = "golden/calibrated.rs"]
mod calibrated;
#[path = "golden/dpo.rs"]
mod dpo;
#[path = "golden/fixture.rs"]
mod fixture;
#[path = "golden/rl.rs"]
mod rl;
#[path = "golden/train.rs"]
mod train;

use burn::tensor::Tensor;
use fixture::{Fixture, Golden, assert_close, assert_ends, each_fixture, test_device, test_settings, to_f64};
use idk_audio::{LogMel, MelConfig};
use idk_common::seed::Rng;
use idk_model::{
    Adapters, FeatureExtractor, ForwardContext, Lalm, SamplingConfig, TokenBatch, generate, log_sum_exp,
    next_token, penalized, probs,
};
use serde_json::Value;

/// For everything in float32; looser would hide a wrong epsilon.
const TOLERANCE: f64 = 1e-4;

/// Names of the golden batch as `&str`.
macro_rules! batch_names {
    ($names:ident, $fixture:expr) => {
        let owned = $fixture.batch_names();
        let $names: Vec<&str> = owned.iter().map(String::as_str).collect();
    };
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

#[test]
fn log_mel_features_and_their_mask_are_those_of_the_whisper_extractor() {
    each_fixture(|fixture| {
        let extractor = &fixture.lalm.mel;
        if let Some(filters) = fixture.find("mel.filters") {
            assert_close("mel filters", &widened(extractor.filters()), &filters.values, 1e-6);
        }
        let mut compared = 0;
        for clip in fixture.clips() {
            let samples = fixture.samples(clip);
            let (window, trimmed) = (extractor.log_mel_window(&samples), extractor.log_mel(&samples));
            let meta = &fixture.json["audio"][clip];
            assert_eq!(extractor.tokens(&trimmed) as u64, meta["audio_tokens"].as_u64().unwrap());
            assert_eq!(extractor.tokens_of_samples(samples.len()), extractor.tokens(&trimmed));
            if let Some(positions) = meta["conv_frames"].as_u64() {
                assert_eq!(extractor.positions(&trimmed) as u64, positions);
            }
            let Some(golden) = fixture.mel_golden(clip) else { continue };
            let columns = |mel: &LogMel| -> Vec<f64> {
                mel.data.chunks(mel.frames).flat_map(|band| widened(&band[..golden.frames])).collect()
            };
            assert_close(&format!("mel of {clip}"), &columns(&window), &golden.values, TOLERANCE);
            assert_eq!([window.valid_frames, trimmed.valid_frames], [golden.valid_frames; 2]);
            compared += 1;
        }
        assert!(compared > 0);
    });
}

#[test]
fn the_trimmed_features_are_the_first_frames_of_the_window() {
    each_fixture(|fixture| {
        for clip in fixture.clips() {
            let samples = fixture.samples(clip);
            let (trimmed, window) =
                (fixture.lalm.mel.log_mel(&samples), fixture.lalm.mel.log_mel_window(&samples));
            let expected: Vec<f64> =
                window.data.chunks(window.frames).flat_map(|band| widened(&band[..trimmed.frames])).collect();
            assert_close(&format!("trimmed mel of {clip}"), &widened(&trimmed.data), &expected, 0.0);
        }
    });
}

#[test]
fn log_mel_features_hold_in_the_window_of_30_seconds() {
    each_fixture(|fixture| {
        let Some(frames) = fixture.find("mel30.c.frames") else { return };
        let expected = fixture.get("mel30.c.features");
        let config =
            MelConfig { feature_size: expected.shape[0], chunk_length: 30, ..*fixture.lalm.mel.config() };
        let rule = fixture.lalm.config.audio.rule;
        let mel = FeatureExtractor::new(config, rule).log_mel_window(&fixture.samples("c"));
        assert_eq!(mel.valid_frames as u64, fixture.json["mel30_c_frames"].as_u64().unwrap());
        let found: Vec<f64> = mel
            .data
            .chunks(mel.frames)
            .flat_map(|band| frames.values.iter().map(|&frame| f64::from(band[frame as usize])))
            .collect();
        assert_close("mel in the 30 s window", &found, &expected.values, TOLERANCE);
    });
}

/// Rows of a clip's windows against the first golden rows of each.
fn assert_rows(what: &str, found: &[Tensor<2>], golden: &[&[f64]]) {
    assert_eq!(found.len(), golden.len(), "{what}: windows");
    for (found, golden) in found.iter().map(to_f64).zip(golden) {
        assert!(golden.len() >= found.len(), "{what}: {} values, golden {}", found.len(), golden.len());
        assert_close(what, &found, &golden[..found.len()], TOLERANCE);
    }
}

#[test]
fn the_encoder_gives_the_reference_values_after_every_stage() {
    each_fixture(|fixture| {
        for clip in fixture.encoded_clips() {
            let stages = fixture.lalm.encoder.stages(&fixture.mel(clip), &ForwardContext::default()).unwrap();
            let mut compared = Vec::new();
            for (stage, golden) in fixture.stages_golden(clip) {
                let layer = stage.strip_prefix("layer.").map(|index| index.parse::<usize>().unwrap());
                let found = match (stage.as_str(), layer) {
                    ("conv", _) => &stages.conv,
                    ("embed", _) => &stages.embed,
                    ("out", _) => &stages.out,
                    ("rotated", _) => &stages.pooled,
                    (_, Some(layer)) => &stages.layers[layer],
                    _ => panic!("unknown stage `{stage}`"),
                };
                let lengths: Vec<usize> = found.iter().map(|rows| rows.shape().num_elements()).collect();
                assert_rows(&format!("{clip} {stage}"), found, &golden.windows(&lengths));
                compared.push(stage);
            }
            let has = |stage: &str| compared.iter().any(|found| found == stage);
            assert!(has("out") && (has("conv") || has("embed")), "{compared:?}");
            assert!((0..stages.layers.len()).all(|layer| has(&format!("layer.{layer}"))), "{compared:?}");
        }
    });
}

#[test]
fn audio_features_agree_encoded_together_and_one_by_one() {
    each_fixture(|fixture| {
        let clips = fixture.encoded_clips();
        let mels: Vec<LogMel> = clips.iter().map(|clip| fixture.mel(clip)).collect();
        let context = ForwardContext::default();
        let together = fixture.lalm.encode_audio(&mels.iter().collect::<Vec<_>>(), &context).unwrap();
        for ((clip, mel), found) in clips.iter().zip(&mels).zip(&together) {
            let tokens = fixture.lalm.mel.tokens(mel);
            assert_eq!(found.dims()[0], tokens);
            let golden = fixture.features_golden(clip);
            let golden = &golden[..tokens * found.dims()[1]];
            assert_close("audio features, batched", &to_f64(found), golden, TOLERANCE);
            let single = fixture.lalm.encode_audio(&[mel], &context).unwrap().remove(0);
            assert_close("audio features, single", &to_f64(&single), golden, TOLERANCE);
        }
    });
}

#[test]
fn merged_embeddings_hidden_states_and_logits_of_a_left_padded_batch_agree() {
    each_fixture(|fixture| {
        batch_names!(names, fixture);
        let context = ForwardContext::default();
        let batch = fixture.token_batch("batch");
        let embeds = fixture.lalm.embed(&batch, &fixture.features(&fixture.lalm, &names, &context)).unwrap();
        let states = fixture.lalm.decoder.hidden_states(embeds, &batch.mask, &context);
        let mut compared = 0;
        for (index, golden) in fixture.starting_with("batch.lm_hidden.") {
            let index: usize = index.parse().unwrap();
            let state = &states[index];
            compared += usize::from(index == 0 || index + 1 == states.len());
            assert_eq!(state.dims().to_vec(), golden.shape);
            // Values at padding mean nothing: 0 in the golden files.
            let width = state.dims()[2];
            let real = batch
                .mask
                .iter()
                .flatten()
                .flat_map(|&real| std::iter::repeat_n(f64::from(u8::from(real)), width));
            let found: Vec<f64> = to_f64(state).iter().zip(real).map(|(value, real)| value * real).collect();
            assert_close(&format!("hidden state {index}"), &found, &golden.values, TOLERANCE);
        }
        assert_eq!(compared, 2, "the merged embeddings and the output");
        assert_ends(
            "logits",
            &fixture.logits(&fixture.lalm, "batch", &names, None),
            fixture.logits_golden("batch"),
        );
    });
}

#[test]
fn logits_without_padding_are_those_of_the_batch() {
    each_fixture(|fixture| {
        batch_names!(names, fixture);
        let batch = fixture.token_batch("batch");
        let golden = fixture.logits_golden("batch");
        let context = ForwardContext::default();
        for (row, name) in names.iter().enumerate() {
            let real = batch.mask[row].iter().filter(|&&real| real).count();
            let ids = batch.ids[row][batch.ids[row].len() - real..].to_vec();
            let single = TokenBatch::left_padded(&[ids], fixture.lalm.tokenizer.pad_id());
            let embeds =
                fixture.lalm.embed(&single, &fixture.features(&fixture.lalm, &[name], &context)).unwrap();
            let hidden = fixture.lalm.decoder.hidden(embeds, &single.mask, &context, None);
            let [_, seq, width] = hidden.dims();
            let logits = to_f64(&fixture.lalm.decoder.logits(hidden.reshape([seq, width])));
            let expected = golden.row(row);
            let most = logits.len().min(expected.len());
            let end = |values: &[f64]| values[values.len() - most..].to_vec();
            assert_close("logits of one row alone", &end(&logits), &end(expected), TOLERANCE);
        }
    });
}

#[test]
fn chats_with_two_clips_a_long_clip_and_no_clip_agree() {
    each_fixture(|fixture| {
        let names: Vec<&str> = ["multi", "pair", "long", "text"]
            .into_iter()
            .filter(|name| fixture.find(&format!("{name}.input_ids")).is_some())
            .collect();
        assert!(names.contains(&"multi") && names.contains(&"text"), "{names:?}");
        for name in names {
            let logits = fixture.logits(&fixture.lalm, name, &[name], None);
            assert_ends(name, &logits, fixture.logits_golden(name));
            if let Some(golden) = fixture.find(&format!("{name}.greedy")) {
                assert_greedy(fixture, &[name], golden, None);
            }
        }
    });
}

/// A folder with the settings and tokenizer of `fixture` and the weights of its `weights` folder.
fn folder_with_weights(fixture: &Fixture, weights: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let thinker = fixture.dir.join("thinker_only_config.json");
    let is_weights = |name: &str| name.starts_with("model") && name.contains("safetensors");
    for (from, take_weights) in [(fixture.dir.clone(), false), (fixture.dir.join(weights), true)] {
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_file() && is_weights(&name) == take_weights {
                std::fs::copy(&path, dir.path().join(name)).unwrap();
            }
        }
    }
    if thinker.exists() {
        std::fs::copy(thinker, dir.path().join("config.json")).unwrap();
    }
    dir
}

#[test]
fn shards_with_transformers_5_names_are_the_same_model() {
    each_fixture(|fixture| {
        if !fixture.dir.join("sharded_v5names").exists() {
            return;
        }
        batch_names!(names, fixture);
        let dir = folder_with_weights(fixture, "sharded_v5names");
        let sharded = Lalm::load_with(dir.path(), &test_device(), test_settings()).unwrap();
        let (found, expected) = (
            fixture.logits(&sharded, "batch", &names, None),
            fixture.logits(&fixture.lalm, "batch", &names, None),
        );
        assert_close("shards", &found.concat(), &expected.concat(), 0.0);
    });
}

#[test]
fn the_tokenizer_encodes_and_decodes_as_the_reference() {
    each_fixture(|fixture| {
        let cases: Vec<Value> =
            idk_common::json::read_json(&fixture.dir.join("tokenizer_cases.json")).unwrap();
        assert!(!cases.is_empty());
        // mistral-common never takes text for special tokens; the others' references do.
        let plain = fixture.dir.join("tekken.json").exists();
        for tokenizer in fixture.tokenizers() {
            for case in &cases {
                let text = case["text"].as_str().unwrap();
                let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
                if plain || tokenizer.encode_with_special(text).unwrap() == tokenizer.encode(text).unwrap() {
                    assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
                } else {
                    assert_eq!(tokenizer.encode_with_special(text).unwrap(), ids, "{text:?}");
                }
                assert_eq!(tokenizer.decode(&ids, false).unwrap(), case["decoded"].as_str().unwrap());
            }
            let ids = [&fixture.json["special_ids"], &fixture.json["config"]["special_ids"]];
            let ids = ids.into_iter().find_map(Value::as_object).unwrap();
            for (name, id) in ids {
                let expected = [u32::try_from(id.as_u64().unwrap()).unwrap()];
                assert_eq!(tokenizer.encode_with_special(name).unwrap(), expected, "{name}");
            }
        }
    });
}

#[test]
fn chats_render_and_expand_to_the_reference_text_and_ids() {
    each_fixture(|fixture| {
        for (name, prompt) in fixture.prompts.as_object().unwrap() {
            let messages = fixture.messages(name);
            let audio_tokens = fixture.audio_tokens(name);
            let ids: Vec<u32> = serde_json::from_value(prompt["input_ids"].clone()).unwrap();
            for tokenizer in fixture.tokenizers() {
                let text = prompt["text"].as_str().unwrap();
                assert_eq!(tokenizer.render(&messages, true).unwrap(), text, "{name}");
                assert_eq!(tokenizer.prompt_ids(&messages, &audio_tokens).unwrap(), ids, "{name}");
            }
        }
    });
}

fn greedy_config(max_new_tokens: usize, repetition_penalty: f64) -> SamplingConfig {
    SamplingConfig { max_new_tokens, repetition_penalty, ..SamplingConfig::default() }
}

/// Golden ids up to and with the end token; what follows is padding.
fn until_eos(row: &[i64], eos: u32) -> Vec<u32> {
    let end = row.iter().position(|&id| id == i64::from(eos)).map_or(row.len(), |index| index + 1);
    row[..end].iter().map(|&id| u32::try_from(id).unwrap()).collect()
}

/// Greedy answers to prompts from the KV cache against `golden`; their log-probs against a plain forward pass.
fn assert_greedy(fixture: &Fixture, names: &[&str], golden: &Golden, adapters: Option<&Adapters>) {
    let prompts: Vec<_> = names.iter().map(|name| fixture.prompt(name, adapters)).collect();
    let config = greedy_config(golden.shape[1], 1.0);
    let answers = generate(&fixture.lalm, adapters, &prompts, &config, &vec![vec![0]; names.len()]).unwrap();
    for ((answer, golden), prompt) in answers.iter().zip(golden.ids()).zip(&prompts) {
        let expected = until_eos(&golden, fixture.lalm.tokenizer.eos_id());
        assert_eq!(answer[0].ids, expected);
        let logits =
            forward(fixture, std::slice::from_ref(prompt), std::slice::from_ref(&expected), adapters)
                .remove(0);
        let log_probs: Vec<f64> = expected
            .iter()
            .enumerate()
            .map(|(index, &id)| {
                let logits = &logits[prompt.ids.len() - 1 + index];
                f64::from(logits[id as usize]) - log_sum_exp(logits)
            })
            .collect();
        assert_close("greedy log-probs", &widened(&answer[0].token_log_probs), &log_probs, TOLERANCE);
    }
}

/// Logits without a cache: per row, per position of the unpadded sequence `prompt + answer`, `[vocab]`.
fn forward(
    fixture: &Fixture,
    prompts: &[idk_model::Prompt],
    answers: &[Vec<u32>],
    adapters: Option<&Adapters>,
) -> Vec<Vec<Vec<f32>>> {
    let rows: Vec<Vec<u32>> = prompts
        .iter()
        .zip(answers)
        .map(|(prompt, answer)| [prompt.ids.as_slice(), answer].concat())
        .collect();
    let batch = TokenBatch::left_padded(&rows, fixture.lalm.tokenizer.pad_id());
    let audio: Vec<_> = prompts.iter().map(|prompt| prompt.audio.clone()).collect();
    let embeds = fixture.lalm.embed(&batch, &audio).unwrap();
    let context = ForwardContext { adapters, dropout_seed: None };
    let hidden = fixture.lalm.decoder.hidden(embeds, &batch.mask, &context, None);
    let [count, seq, width] = hidden.dims();
    let logits = fixture.lalm.decoder.logits(hidden.reshape([count * seq, width]));
    let vocab = logits.dims()[1];
    let values: Vec<f32> = logits.to_data().iter::<f32>().collect();
    let position = |row: usize, column: usize| values[(row * seq + column) * vocab..][..vocab].to_vec();
    rows.iter()
        .enumerate()
        .map(|(row, ids)| (seq - ids.len()..seq).map(|column| position(row, column)).collect())
        .collect()
}

#[test]
fn greedy_answers_are_those_of_transformers() {
    each_fixture(|fixture| {
        batch_names!(names, fixture);
        assert_greedy(fixture, &names, fixture.get("prompt.greedy"), None);
    });
}

#[test]
fn greedy_answers_with_a_repetition_penalty_are_those_of_transformers() {
    each_fixture(|fixture| {
        let eos = fixture.lalm.tokenizer.eos_id();
        let padded = fixture.token_batch("prompt");
        batch_names!(names, fixture);
        let mut cases = 0;
        for (penalty, golden) in fixture.starting_with("prompt.greedy_rp") {
            let penalty: f64 = penalty.parse().unwrap();
            let config = greedy_config(golden.shape[1], penalty);
            for (row, golden) in golden.ids().iter().enumerate() {
                let expected = until_eos(golden, eos);
                let prompt = fixture.prompt(names[row], None);
                // transformers penalises the padding id, too, in rows that have padding.
                let mut seen = padded.ids[row].clone();
                let mut ids = Vec::new();
                while ids.len() < golden.len() && ids.last() != Some(&eos) {
                    let logits =
                        forward(fixture, std::slice::from_ref(&prompt), &[ids.clone()], None).remove(0);
                    let id = next_token(logits.last().unwrap(), &seen, &config, &mut Rng::new(0)).unwrap();
                    ids.push(id);
                    seen.push(id);
                }
                assert_eq!(ids, expected);
                if padded.mask[row].iter().all(|&real| real) {
                    let answers = generate(&fixture.lalm, None, &[prompt], &config, &[vec![0]]).unwrap();
                    assert_eq!(answers[0][0].ids, expected);
                    cases += 1;
                }
            }
        }
        assert!(cases > 0, "no row without padding");
    });
}

/// `rp1.3_t3.0_k20_p0.8`; what is not named is off.
fn parse_warps(name: &str) -> SamplingConfig {
    let mut config = SamplingConfig { temperature: 1.0, ..SamplingConfig::default() };
    for part in name.split('_') {
        let (key, value) = part.split_at(part.find(|c: char| c.is_ascii_digit()).unwrap());
        match key {
            "rp" => config.repetition_penalty = value.parse().unwrap(),
            "t" => config.temperature = value.parse().unwrap(),
            "k" => config.top_k = value.parse().unwrap(),
            "p" => config.top_p = value.parse().unwrap(),
            other => panic!("unknown warp `{other}` in `{name}`"),
        }
    }
    config
}

#[test]
fn warped_distributions_of_the_first_new_token_agree() {
    each_fixture(|fixture| {
        batch_names!(names, fixture);
        let prompts: Vec<_> = names.iter().map(|name| fixture.prompt(name, None)).collect();
        let seen = fixture.token_batch("prompt").ids;
        if fixture.find("sample.logits").is_none() {
            return;
        }
        let logits: Vec<Vec<f32>> = forward(fixture, &prompts, &vec![Vec::new(); prompts.len()], None)
            .into_iter()
            .map(|mut row| row.pop().unwrap())
            .collect();
        let (mut warps, mut scores) = (0, 0);
        for (row, logits) in logits.iter().enumerate() {
            assert_close("first logits", &widened(logits), fixture.get("sample.logits").row(row), TOLERANCE);
            for (name, golden) in fixture.starting_with("sample.probs_") {
                let found = probs(logits, &seen[row], &parse_warps(name));
                let support = |values: &[f64]| values.iter().map(|&prob| prob > 0.0).collect::<Vec<_>>();
                assert_eq!(support(&widened(&found)), support(golden.row(row)), "{name}: which tokens stay");
                assert_close(name, &widened(&found), golden.row(row), TOLERANCE);
                warps += 1;
            }
            for (penalty, golden) in fixture.starting_with("sample.scores_rp") {
                let found = penalized(logits, &seen[row], penalty.parse().unwrap());
                assert_close("penalised scores", &widened(&found), golden.row(row), TOLERANCE);
                scores += 1;
            }
        }
        assert!(warps > 0 && scores > 0);
    });
}

#[test]
fn an_adapter_on_the_language_model_agrees_with_peft() {
    each_fixture(|fixture| {
        batch_names!(names, fixture);
        let adapters = Adapters::load(&fixture.dir.join("lora_adapter"), &fixture.lalm).unwrap();
        let logits = fixture.logits(&fixture.lalm, "batch", &names, Some(&adapters));
        assert_ends("LoRA logits", &logits, fixture.logits_golden("lora"));
        assert_greedy(fixture, &names, fixture.get("lora.greedy"), Some(&adapters));
    });
}

#[test]
fn a_rank_stabilised_adapter_on_both_towers_agrees_with_peft() {
    each_fixture(|fixture| {
        batch_names!(names, fixture);
        let adapters = Adapters::load(&fixture.dir.join("lora_adapter_v4names"), &fixture.lalm).unwrap();
        assert!(adapters.config.rslora && adapters.adapt_audio());
        let logits = fixture.logits(&fixture.lalm, "batch", &names, Some(&adapters));
        assert_ends("LoRA on both towers", &logits, fixture.logits_golden("lora2"));
    });
}

/// The modules of a saved adapter are called as in transformers 5, or as in the published files.
fn assert_names_of_transformers(fixture: &Fixture, adapter: &std::path::Path) {
    let index = fixture.dir.join("sharded_v5names/model.safetensors.index.json");
    if !index.exists() {
        return;
    }
    let index: Value = idk_common::json::read_json(&index).unwrap();
    let published = fixture::read_shapes(&fixture.dir.join("model.safetensors"));
    for name in fixture::read_shapes(&adapter.join("adapter_model.safetensors")).keys() {
        let module = name.strip_prefix("base_model.model.").unwrap().rsplitn(3, '.').last().unwrap();
        let weight = format!("{module}.weight");
        let is_known = index["weight_map"].get(&weight).is_some() || published.contains_key(&weight);
        assert!(is_known, "{name}");
    }
}

#[test]
fn a_saved_adapter_is_loaded_as_it_was() {
    each_fixture(|fixture| {
        for name in ["lora_adapter", "lora_adapter_v4names"] {
            let adapters = Adapters::load(&fixture.dir.join(name), &fixture.lalm).unwrap();
            let dir = tempfile::tempdir().unwrap();
            adapters.save(dir.path(), "base").unwrap();
            assert_names_of_transformers(fixture, dir.path());
            let again = Adapters::load(dir.path(), &fixture.lalm).unwrap();
            assert_eq!(again.num_params(), adapters.num_params());
            for (module, pair) in &adapters.modules {
                let found = &again.modules[module];
                assert_eq!(to_f64(&found.a), to_f64(&pair.a), "{module}");
                assert_eq!(to_f64(&found.b), to_f64(&pair.b), "{module}");
                assert_eq!(found.scale, pair.scale, "{module}");
            }
        }
    });
}
