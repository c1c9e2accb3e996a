//! Reading a reply, and refusing one that is not what was asked for: servers drop settings that they do not know and
//! cut what does not fit without a word.

mod letters;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::failure::{ServerFault, excerpt};
use crate::reply::letters::{AnswerPlace, TopToken, letter_log_probs};

pub(crate) use letters::TOP_TOKENS;

/// One answer of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerAnswer {
    /// What the model said.
    pub text: String,
    /// Sum of the log-probabilities of its tokens, the end token included, in nats; `None` if they were not asked for.
    pub log_prob: Option<f64>,
    /// How many tokens these are.
    pub tokens: Option<usize>,
    /// The log-probability of each option's letter, in nats; see [`crate::ServerLogProbs::Letters`]. `None` if they were not
    /// asked for, and if the likeliest tokens include no letter.
    pub letter_log_probs: Option<Vec<f64>>,
}

/// What a usable reply must show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) choices: usize,
    pub(crate) max_new_tokens: usize,
    /// Whether each answer must have its log-probabilities.
    pub(crate) log_probs: bool,
    /// The prompt as the local tokenizer has it, where there is one.
    pub(crate) prompt_ids: Option<&'a [u32]>,
    /// The only texts that an answer may be; any where it is empty.
    pub(crate) only: &'a [String],
    /// Letters of which each answer must give the probability.
    pub(crate) letters: usize,
}

/// What a reply has, without its contents: a list of these takes no memory, however long it is.
#[derive(Deserialize)]
struct Outline {
    choices: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    #[serde(default)]
    prompt_token_ids: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: usize,
    message: ReplyMessage,
    #[serde(default)]
    logprobs: Option<LogProbs>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct ReplyMessage {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Deserialize)]
struct LogProbs {
    #[serde(default)]
    content: Option<Vec<TokenLogProb>>,
}

#[derive(Deserialize)]
struct TokenLogProb {
    #[serde(default)]
    token: String,
    logprob: f64,
    #[serde(default)]
    top_logprobs: Vec<TopToken>,
}

/// The answers in the order of their seeds.
///
/// # Errors
/// The fault, and what is wrong with the reply.
pub(crate) fn answers(
    body: &[u8],
    expected: &Expected<'_>,
) -> Result<Vec<ServerAnswer>, (ServerFault, String)> {
    let bad = |what: String| (ServerFault::BadReply, what);
    let unread = |error| bad(format!("the reply is not a chat completion ({error}): {}", excerpt(body)));
    let choices = serde_json::from_slice::<Outline>(body).map_err(unread)?.choices.len();
    if choices != expected.choices {
        return Err(bad(format!("{choices} choices, {} asked for", expected.choices)));
    }
    let mut completion: Completion = serde_json::from_slice(body).map_err(unread)?;
    completion.choices.sort_by_key(|choice| choice.index);
    if completion.choices.iter().enumerate().any(|(place, choice)| choice.index != place) {
        return Err(bad("two choices have the same index".to_owned()));
    }
    if let (Some(theirs), Some(ours)) = (&completion.prompt_token_ids, expected.prompt_ids) {
        check_prompt(theirs, ours)?;
    }
    completion.choices.into_iter().map(|choice| answer(choice, expected)).collect()
}

fn answer(choice: Choice, expected: &Expected<'_>) -> Result<ServerAnswer, (ServerFault, String)> {
    let max_new_tokens = expected.max_new_tokens;
    let bad = |what: &str| (ServerFault::BadReply, format!("choice {} {what}", choice.index));
    let text = choice.message.content.ok_or_else(|| bad("has no content"))?;
    // A server that does not know the field answers as if it were not there.
    if !expected.only.is_empty() && !expected.only.contains(&text) {
        let said = excerpt(text.as_bytes());
        return Err(bad(&format!(
            "is `{said}`, none of the answers in `structured_outputs`, which vLLM knows from 0.11 on"
        )));
    }
    if !expected.log_probs {
        return Ok(ServerAnswer { text, log_prob: None, tokens: None, letter_log_probs: None });
    }
    let tokens = choice
        .logprobs
        .and_then(|logprobs| logprobs.content)
        .filter(|tokens| !tokens.is_empty())
        .ok_or_else(|| bad("has no log-probabilities"))?;
    // Rounding may take the logarithm of 1 a little above 0.
    if tokens.iter().any(|token| !token.logprob.is_finite() || token.logprob > 1e-3) {
        return Err(bad("has a log-probability above 0"));
    }
    let cut = choice.finish_reason.as_deref() == Some("length");
    if cut && tokens.len() < max_new_tokens {
        let what =
            format!("choice {} was cut after {} of {max_new_tokens} tokens", choice.index, tokens.len());
        return Err((ServerFault::ContextTooSmall, what));
    }
    if tokens.len() > max_new_tokens {
        return Err(bad(&format!("has {} tokens, at most {max_new_tokens} were asked for", tokens.len())));
    }
    let log_prob: f64 = tokens.iter().map(|token| token.logprob).sum();
    // JSON has no infinity: the row could be written, but not read again.
    if !log_prob.is_finite() {
        return Err(bad("is of no use: the sum of its log-probabilities is not finite"));
    }
    let letter_log_probs = match expected.letters {
        0 => None,
        count => {
            let places =
                tokens.iter().map(|token| AnswerPlace { token: &token.token, top: &token.top_logprobs });
            letter_log_probs(places, count).map_err(|what| {
                bad(&format!(
                    "{what}, so options have no probability: write `server_log_probs = \"answers\"`"
                ))
            })?
        }
    };
    Ok(ServerAnswer { text, log_prob: Some(log_prob), tokens: Some(tokens.len()), letter_log_probs })
}

/// Another template, another tokenizer, a shorter window or a cut prompt: each shows in the ids.
pub(crate) fn check_prompt(theirs: &[u32], ours: &[u32]) -> Result<(), (ServerFault, String)> {
    if theirs == ours {
        return Ok(());
    }
    let place = theirs.iter().zip(ours).take_while(|(theirs, ours)| theirs == ours).count();
    let token = |ids: &[u32]| ids.get(place).map_or("the end".to_owned(), u32::to_string);
    let what = format!(
        "the server's prompt has {} tokens, the local one {}; at {place} it has {} where {} should be",
        theirs.len(),
        ours.len(),
        token(theirs),
        token(ours)
    );
    Err((ServerFault::OtherPrompt, what))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const EXPECTED: Expected<'static> = Expected {
        choices: 2,
        max_new_tokens: 3,
        log_probs: true,
        prompt_ids: Some(&[4, 5, 6]),
        only: &[],
        letters: 0,
    };

    fn choice(index: usize, text: &str, log_probs: &[f64], finish: &str) -> Value {
        let tokens: Vec<Value> =
            log_probs.iter().map(|value| json!({"token": "", "logprob": value})).collect();
        json!({"index": index, "message": {"role": "assistant", "content": text},
               "logprobs": {"content": tokens}, "finish_reason": finish})
    }

    fn good() -> Value {
        let choices = [choice(1, "cat", &[-1.0, -0.5, -0.25], "length"), choice(0, "", &[-2.0], "stop")];
        json!({"choices": choices, "prompt_token_ids": [4, 5, 6], "usage": {"total_tokens": 7}})
    }

    fn read(reply: &Value) -> Result<Vec<ServerAnswer>, (ServerFault, String)> {
        answers(reply.to_string().as_bytes(), &EXPECTED)
    }

    #[test]
    fn answers_come_in_the_order_of_their_index_with_the_sum_of_their_log_probs() {
        let answer = |text: &str, log_prob, tokens| ServerAnswer {
            text: text.to_owned(),
            log_prob: Some(log_prob),
            tokens: Some(tokens),
            letter_log_probs: None,
        };
        assert_eq!(read(&good()).unwrap(), [answer("", -2.0, 1), answer("cat", -1.75, 3)]);
    }

    #[test]
    fn an_answer_outside_of_the_list_shows_that_the_server_did_not_follow_it() {
        let read = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|&text| text.to_owned()).collect();
            answers(good().to_string().as_bytes(), &Expected { only: &only, ..EXPECTED })
        };
        assert_eq!(read(&["cat", ""]).unwrap().len(), 2);
        let (fault, what) = read(&["dog", ""]).unwrap_err();
        assert_eq!(fault, ServerFault::BadReply);
        assert!(
            what.contains("choice 1") && what.contains("`cat`") && what.contains("structured_outputs"),
            "{what}"
        );
    }

    #[test]
    fn a_server_that_does_not_return_the_prompt_is_believed() {
        let mut reply = good();
        reply["prompt_token_ids"] = Value::Null;
        read(&reply).unwrap();
    }

    #[test]
    fn letters_that_were_asked_for_come_with_each_answer_or_the_reply_is_not_usable() {
        let expected = Expected { letters: 2, ..EXPECTED };
        let read = |reply: &Value| answers(reply.to_string().as_bytes(), &expected);
        let (fault, what) = read(&good()).unwrap_err();
        assert_eq!(fault, ServerFault::BadReply);
        assert!(what.contains("no `top_logprobs`") && what.contains("server_log_probs"), "{what}");
        let mut reply = good();
        let listed = |tokens: &[(&str, f64)]| {
            let listed = tokens.iter().map(|(token, p)| json!({"token": token, "logprob": f64::ln(*p)}));
            Value::from(listed.collect::<Vec<_>>())
        };
        // The choice of index 0 stands behind that of index 1.
        for (place, tokens) in [(1, [("A", 0.5), ("B", 0.25)]), (0, [("dog", 0.5), ("cat", 0.25)])] {
            for token in reply["choices"][place]["logprobs"]["content"].as_array_mut().unwrap() {
                token["token"] = tokens[0].0.into();
                token["top_logprobs"] = listed(&tokens);
            }
        }
        let found: Vec<_> = read(&reply).unwrap().into_iter().map(|answer| answer.letter_log_probs).collect();
        assert_eq!(found, [Some(vec![0.5_f64.ln(), 0.25_f64.ln()]), None]);
    }

    #[test]
    fn log_probabilities_that_were_not_asked_for_need_not_come() {
        let expected = Expected { log_probs: false, ..EXPECTED };
        let mut reply = good();
        reply["choices"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(|choice| choice["logprobs"] = Value::Null);
        assert!(read(&reply).is_err());
        let seen = answers(reply.to_string().as_bytes(), &expected).unwrap();
        assert_eq!(seen.iter().map(|answer| answer.log_prob).collect::<Vec<_>>(), [None, None]);
    }

    #[test]
    fn each_way_in_which_a_reply_is_not_usable_is_named() {
        type Change = fn(&mut Value);
        let cases: [(&str, ServerFault, Change); 12] = [
            ("1 choices, 2 asked for", ServerFault::BadReply, |r| {
                r["choices"].as_array_mut().unwrap().pop();
            }),
            ("the same index", ServerFault::BadReply, |r| r["choices"][0]["index"] = json!(0)),
            ("choice 1 has no content", ServerFault::BadReply, |r| {
                r["choices"][0]["message"]["content"] = Value::Null;
            }),
            ("no log-probabilities", ServerFault::BadReply, |r| r["choices"][0]["logprobs"] = Value::Null),
            ("above 0", ServerFault::BadReply, |r| {
                r["choices"][0]["logprobs"]["content"][0]["logprob"] = json!(0.5);
            }),
            ("sum of its log-probabilities is not finite", ServerFault::BadReply, |r| {
                r["choices"][0] = choice(1, "a", &[-1e308; 3], "stop");
            }),
            // Counted before they are read: a reply of millions of them takes no memory.
            ("5 choices, 2 asked for", ServerFault::BadReply, |r| r["choices"] = json!([{}, {}, {}, {}, {}])),
            ("has 4 tokens, at most 3", ServerFault::BadReply, |r| {
                r["choices"][0] = choice(1, "a", &[-1.0; 4], "stop");
            }),
            ("choice 1 was cut after 2 of 3 tokens", ServerFault::ContextTooSmall, |r| {
                r["choices"][0] = choice(1, "a", &[-1.0; 2], "length");
            }),
            ("2 tokens, the local one 3; at 2 it has the end where 6", ServerFault::OtherPrompt, |r| {
                r["prompt_token_ids"] = json!([4, 5]);
            }),
            ("at 1 it has 9 where 5 should be", ServerFault::OtherPrompt, |r| {
                r["prompt_token_ids"] = json!([4, 9, 6]);
            }),
            ("not a chat completion", ServerFault::BadReply, |r| *r = json!({"error": {"message": "oh"}})),
        ];
        for (expected, fault, change) in cases {
            let mut reply = good();
            change(&mut reply);
            let (seen, what) = read(&reply).unwrap_err();
            assert_eq!(seen, fault, "{what}");
            assert!(what.contains(expected), "{what}");
        }
        let (_, what) = answers(b"<html><body>Sign in</body></html>", &EXPECTED).unwrap_err();
        assert!(what.contains("Sign in"), "{what}");
    }
}
