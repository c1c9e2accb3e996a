//! Token ids and loss masks of chats: of folders without a chat template against ChatML by hand, and of a folder with one
//! against those of transformers.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it should be")]

use std::path::{Path, PathBuf};

use idk_model::{LalmConfig, LalmTokenizer, Message, Part};
use serde_json::Value;

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn tokenizer(dir: &Path) -> LalmTokenizer {
    LalmTokenizer::from_dir(dir, &LalmConfig::from_dir(dir).unwrap()).unwrap()
}

/// Ids of special tokens and of the plain text between them, piece by piece.
fn ids(tokenizer: &LalmTokenizer, pieces: &[&str]) -> Vec<u32> {
    let piece = |piece: &&str| match piece.starts_with("<|") {
        true => tokenizer.encode_with_special(piece).unwrap(),
        false => tokenizer.encode(piece).unwrap(),
    };
    pieces.iter().flat_map(piece).collect()
}

#[test]
fn a_folder_without_a_template_gives_the_tokens_of_chatml() {
    let question = "What is that sound?\nChoose the correct option:\n(A) dog\n(B) I don't know";
    for folder in ["tests/fixtures/qwen2-audio-tiny", "checkpoints/mini-lalm"] {
        let tokenizer = tokenizer(&repo(folder));
        let chat = [
            Message::from_tagged("user", &format!("<audio>{question}")),
            Message::text("assistant", "dog"),
            Message::from_tagged("user", "<audio><audio>How many?"),
        ];
        let (turn, end) = (["<|im_end|>", "\n", "<|im_start|>"], "<|audio_eos|>");
        let clips = |count: usize| "<|AUDIO|>".repeat(count);
        let expected = [
            vec!["<|im_start|>", "system\nYou are a helpful assistant."],
            turn.to_vec(),
            vec!["user\nAudio 1: ", "<|audio_bos|>"],
            vec![clips(3).leak(), end],
            vec!["\nWhat is that sound?\nChoose the correct option:\n(A) dog\n(B) I don't know"],
            turn.to_vec(),
            vec!["assistant\ndog"],
            turn.to_vec(),
            vec!["user\nAudio 2: ", "<|audio_bos|>", clips(1).leak(), end],
            vec!["\nAudio 3: ", "<|audio_bos|>", clips(2).leak(), end, "\nHow many?"],
            turn.to_vec(),
            vec!["assistant\n"],
        ]
        .concat();
        assert_eq!(tokenizer.prompt_ids(&chat, &[3, 1, 2]).unwrap(), ids(&tokenizer, &expected), "{folder}");
        // What is learnt: the answer and the end of the turn, not the line break after it.
        for answer in ["(B) I don't know", "dog", " two  spaces\n"] {
            let learnt = ids(&tokenizer, &[answer, "<|im_end|>"]);
            assert_eq!(tokenizer.answer_ids(&chat, answer).unwrap(), learnt, "{folder}");
        }
    }
}

#[test]
fn a_folders_own_template_gives_the_tokens_that_transformers_gives() {
    let fixture = repo("tests/fixtures/qwen2-audio-tiny");
    let prompts: Value =
        idk_common::json::read_json(&repo("tests/fixtures/chat-templates/prompts.json")).unwrap();
    let found = &prompts["qwen2_5-omni"];
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(fixture.join(name), dir.path().join(name)).unwrap();
    }
    let template = found["template"].as_str().unwrap();
    idk_common::fs::write_atomic(&dir.path().join("chat_template.jinja"), template.as_bytes()).unwrap();
    let tokenizer = tokenizer(dir.path());
    for (name, chat) in found["chats"].as_object().unwrap() {
        let part = |part: &Value| match part["text"].as_str() {
            Some(text) => Part::Text(text.to_owned()),
            None => Part::Audio,
        };
        let message = |message: &Value| Message {
            role: message["role"].as_str().unwrap().to_owned(),
            parts: match &message["content"] {
                Value::String(text) => vec![Part::Text(text.clone())],
                parts => parts.as_array().unwrap().iter().map(part).collect(),
            },
        };
        let messages: Vec<Message> = chat["messages"].as_array().unwrap().iter().map(message).collect();
        let audio_tokens: Vec<usize> = serde_json::from_value(chat["audio_tokens"].clone()).unwrap();
        let expected: Vec<u32> = serde_json::from_value(chat["input_ids"].clone()).unwrap();
        assert_eq!(tokenizer.prompt_ids(&messages, &audio_tokens).unwrap(), expected, "{name}");
    }
}
