//! Promises about answering with a small model.

use std::path::{Path, PathBuf};

use idk_model::{Answerer, FeatureLimits, FeatureStore, Lalm, Message, Prompt, device};
use idk_questions::{Question, REFUSAL, Verdict, prompt_text};

use super::explicit_option::refusals_of;
use super::own_answer::OwnAnswer;
use super::*;
use crate::answer::key::candidate_key;
use crate::config::PromptFiles;

fn question() -> AskedQuestion {
    let question = Question {
        id: "q".to_owned(),
        question: "Which {prompt} is heard?".to_owned(),
        choices: ["dog", "cat"].map(str::to_owned).to_vec(),
        answer: "dog".to_owned(),
        ..Question::default()
    };
    AskedQuestion::new(question, None)
}

fn local(prompt: BackendPrompt) -> Prompt {
    match prompt {
        BackendPrompt::Local(prompt) => prompt,
        BackendPrompt::Served(_) => panic!("a prompt of the local model"),
    }
}

fn with_runner<T>(method: Method, check: impl FnOnce(&MethodRunner<'_>) -> T) -> T {
    with_answers_by(method, AnswerBy::Text, check)
}

fn with_answers_by<T>(method: Method, answer_by: AnswerBy, check: impl FnOnce(&MethodRunner<'_>) -> T) -> T {
    let fixture: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny");
    let lalm = Lalm::load(&fixture, &device("cpu").unwrap()).unwrap();
    let prompts = Prompts::load(&PromptFiles::default()).unwrap();
    let config = EvalConfig { max_new_tokens: 4, max_step_tokens: 12, answer_by, ..EvalConfig::default() };
    let refusals = [REFUSAL.to_owned()];
    let features = FeatureStore::new("", FeatureLimits::NONE);
    let backend = Backend::from(Answerer::base(&lalm, &features));
    check(&MethodRunner {
        backend: &backend,
        method,
        prompts: &prompts,
        style: PromptStyle::Lettered,
        refusals: &refusals,
        with_options: false,
        own_answers: None,
        config: &config,
    })
}

#[test]
fn the_idk_prompt_is_the_question_and_one_sentence_and_braces_in_questions_stay() {
    let plain =
        "Which {prompt} is heard?\nChoose the correct option from the following options:\n(A) dog\n(B) cat";
    with_runner(Method::IdkPrompt, |runner| {
        let expected = format!("{plain}\nIf you are not sure of the answer, answer \"I don't know\".");
        assert_eq!(runner.opening(&question()), expected);
    });
    with_runner(Method::Adapter, |runner| assert_eq!(runner.opening(&question()), plain));
}

#[test]
fn every_text_that_a_method_makes_on_its_way_is_kept() {
    for (method, steps) in [
        (Method::Base, vec![]),
        (Method::Mcot, vec!["reasoning"]),
        (Method::TaskAgent, vec!["type", "caption"]),
    ] {
        with_runner(method, |runner| {
            let question = question();
            let answers = runner.answer(&[(&question, &[]), (&question, &[])]).unwrap();
            let names: Vec<&str> = answers[0].steps.iter().map(|step| step.step.as_str()).collect();
            let names: Vec<&str> =
                names.into_iter().map(|name| if name == "transcript" { "caption" } else { name }).collect();
            assert_eq!(names, steps);
            assert_eq!(answers[0], answers[1]);
        });
    }
}

#[test]
fn a_note_that_is_too_long_for_the_model_is_cut_and_not_the_question() {
    with_runner(Method::Mcot, |runner| {
        let (asked, most) = (question(), runner.backend.lalm().unwrap().config.text.max_position_embeddings);
        let heard = runner.backend.hear(&[(&asked, &[])]).unwrap();
        let question = &heard[0];
        let text = |note: &str| format!("start {note} end");
        let prompt = runner.fitting(question, &"dog ".repeat(most), text).unwrap();
        assert!(
            (most / 2..=most - 4).contains(&prompt.tokens().unwrap()),
            "{} of {most}",
            prompt.tokens().unwrap()
        );
        let short = runner.fitting(question, "dog", text).unwrap();
        assert_eq!(local(short).ids, local(runner.chat(question, "start dog end").unwrap()).ids);
    });
}

#[test]
fn a_chosen_answer_is_the_text_of_highest_probability_among_options_and_refusals() {
    with_answers_by(Method::Base, AnswerBy::Options, |runner| {
        let asked = question();
        let open = Question { choices: Vec::new(), ..asked.original.clone() };
        let open = AskedQuestion::new(open, None);
        let answers = runner.answer(&[(&asked, &[]), (&open, &[])]).unwrap();
        // The same scores from the model's own parts.
        let heard = runner.backend.hear(&[(&asked, &[])]).unwrap();
        let prompt = local(runner.chat(&heard[0], &runner.opening(&asked)).unwrap());
        let texts = ["dog", "cat", REFUSAL];
        let ids = texts.map(|text| runner.backend.answer_ids(&asked, text).unwrap().unwrap()).to_vec();
        let Backend::Local(answerer) = runner.backend else { panic!("a local model") };
        let scores = answerer.log_probs(&[prompt], &[ids]).unwrap().remove(0);
        let sums = scores.iter().map(|tokens| tokens.iter().map(|&value| f64::from(value)).sum::<f64>());
        let sums: Vec<f64> = sums.collect();
        let best =
            texts.into_iter().zip(sums.iter().copied()).reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap();
        assert_eq!(answers[0].text, best.0);
        assert!((answers[0].log_prob.unwrap() - best.1).abs() < 1e-4);
        assert!(!answers[0].judgement.unparsed);
        let plain =
            MethodRunner { config: &EvalConfig { max_new_tokens: 4, ..EvalConfig::default() }, ..*runner };
        assert_eq!(answers[1].text, plain.answer(&[(&open, &[])]).unwrap()[0].text);
        assert_eq!(answers[0].refusal_margin, None, "options are not scored for this method");
        for runner in [*runner, plain] {
            let scoring = MethodRunner { with_options: true, ..runner };
            let answers = scoring.answer(&[(&asked, &[]), (&open, &[])]).unwrap();
            let margin = answers[0].refusal_margin.unwrap();
            assert!((margin - (sums[0].max(sums[1]) - sums[2])).abs() < 1e-4, "{margin} {sums:?}");
            assert_eq!((answers[0].option_log_probs.len(), answers[1].refusal_margin), (2, None));
        }
    });
}

#[test]
fn a_guided_answer_is_an_option_or_a_refusal_whatever_came_before_it() {
    let texts = ["dog", "cat", REFUSAL];
    for method in [Method::Base, Method::IdkPrompt, Method::Mcot, Method::TaskAgent] {
        let asked = question();
        let open = Question { choices: Vec::new(), ..asked.original.clone() };
        let open = AskedQuestion::new(open, None);
        let answers = |answer_by| {
            with_answers_by(method, answer_by, |runner| runner.answer(&[(&asked, &[]), (&open, &[])]))
                .unwrap()
        };
        let (guided, free) = (answers(AnswerBy::Guided), answers(AnswerBy::Text));
        assert!(texts.contains(&guided[0].text.as_str()), "{}", guided[0].text);
        assert!(!texts.contains(&free[0].text.as_str()) && !guided[0].judgement.unparsed);
        let unguided = |answers: &[Answer]| (answers[0].steps.clone(), answers[1].text.clone());
        assert_eq!(unguided(&guided), unguided(&free), "nothing else is guided");
    }
}

#[test]
fn answers_of_different_decoding_are_never_taken_for_each_other() {
    let key = |answer_by| {
        with_answers_by(Method::Adapter, answer_by, |runner| candidate_key(runner, "m", "cpu", None))
    };
    let keys = [AnswerBy::Text, AnswerBy::Options, AnswerBy::Guided].map(key);
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    let shifted = |method| {
        with_answers_by(method, AnswerBy::Guided, |runner| {
            let config = EvalConfig { refusal_offset: 0.5, ..runner.config.clone() };
            let shifted = MethodRunner { config: &config, ..*runner };
            let keys = [*runner, shifted].map(|runner| candidate_key(&runner, "m", "cpu", None));
            keys[0] != keys[1]
        })
    };
    assert_eq!([Method::Adapter, Method::IdkPrompt, Method::Base].map(shifted), [true, true, false]);
}

#[test]
fn an_offset_without_end_refuses_all_or_none_and_leaves_the_base_model_alone() {
    for answer_by in [AnswerBy::Guided, AnswerBy::Options] {
        for method in [Method::Base, Method::IdkPrompt, Method::Mcot, Method::Adapter] {
            with_answers_by(method, answer_by, |runner| {
                let asked = question();
                let text = |refusal_offset| {
                    let config = EvalConfig { refusal_offset, ..runner.config.clone() };
                    let answers = MethodRunner { config: &config, ..*runner }.answer(&[(&asked, &[])]);
                    answers.unwrap().remove(0).text
                };
                let (never, plain, always) = (text(-1e6), text(0.0), text(1e6));
                if method == Method::Base {
                    assert_eq!((&never, &always), (&plain, &plain));
                } else {
                    assert_ne!(never, REFUSAL);
                    assert_eq!(always, REFUSAL);
                }
            });
        }
    }
}

#[test]
fn a_question_is_refused_above_its_margin_and_not_below() {
    for answer_by in [AnswerBy::Guided, AnswerBy::Options] {
        with_answers_by(Method::Adapter, answer_by, |runner| {
            let asked = question();
            let answer = |refusal_offset| {
                let config = EvalConfig { refusal_offset, ..runner.config.clone() };
                let runner = MethodRunner { config: &config, with_options: true, ..*runner };
                runner.answer(&[(&asked, &[])]).unwrap().remove(0)
            };
            let margin = answer(0.0).refusal_margin.unwrap();
            assert_eq!(answer(margin + 0.01).text, REFUSAL);
            assert_ne!(answer(margin - 0.01).text, REFUSAL);
            assert_eq!(answer(5.0).refusal_margin, Some(margin), "it does not depend on the offset");
        });
    }
}

#[test]
fn an_option_that_reads_as_a_refusal_is_an_option_at_any_offset() {
    for answer_by in [AnswerBy::Guided, AnswerBy::Options] {
        with_answers_by(Method::Adapter, answer_by, |runner| {
            let choices = [REFUSAL, "cat"].map(str::to_owned).to_vec();
            let asked = AskedQuestion::new(Question { choices, ..question().original }, None);
            for refusal_offset in [-1e6, 0.0, 1e6] {
                let config = EvalConfig { refusal_offset, ..runner.config.clone() };
                let answers = MethodRunner { config: &config, ..*runner }.answer(&[(&asked, &[])]).unwrap();
                assert!(answers[0].judgement.choice.is_some(), "{:?}", answers[0]);
            }
        });
    }
}

/// The model's answer to the question of these tests, with two samples.
fn own_answers() -> OwnAnswers {
    let samples = ["cat", "dog"].map(str::to_owned).to_vec();
    OwnAnswers::from([("q".to_owned(), OwnAnswer { answer: "(B) cat".to_owned(), samples })])
}

#[test]
fn a_verdict_on_an_answer_compares_two_replies_after_the_question_and_the_answer() {
    with_runner(Method::SelfVerification, |runner| {
        let (asked, own) = (question(), own_answers());
        let runner = MethodRunner { own_answers: Some(&own), ..*runner };
        let answer = runner.answer(&[(&asked, &[])]).unwrap().remove(0);
        // The same from the model's own parts.
        let turns = [
            Message::user(0, &prompt_text(&asked.shown, PromptStyle::Lettered)),
            Message::assistant("(B) cat"),
            Message::user(0, include_str!("../../../prompts/self-verification.txt").trim_end()),
        ];
        let Backend::Local(answerer) = runner.backend else { panic!("a local model") };
        let prompt = answerer.prompt(&turns, Vec::new()).unwrap();
        let ids =
            ["Yes", "No"].map(|text| runner.backend.answer_ids(&asked, text).unwrap().unwrap()).to_vec();
        let scores = answerer.log_probs(&[prompt], &[ids]).unwrap().remove(0);
        let sums: Vec<f64> =
            scores.iter().map(|tokens| tokens.iter().map(|&value| f64::from(value)).sum()).collect();
        assert!(answer.option_log_probs.iter().zip(&sums).all(|(one, other)| (one - other).abs() < 1e-4));
        assert_eq!(answer.text, if sums[0] >= sums[1] { "Yes" } else { "No" });
    });
}

#[test]
fn p_true_shows_the_samples_and_cuts_them_where_the_model_has_no_room() {
    with_runner(Method::PTrue, |runner| {
        let (asked, most) = (question(), runner.backend.lalm().unwrap().config.text.max_position_embeddings);
        let text = runner.about_text(&asked, "(B) cat", "cat\ndog");
        assert!(text.contains("Which {prompt} is heard?"), "{text}");
        assert!(text.contains("\ncat\ndog\nProposed answer: (B) cat\n"), "{text}");
        let many = OwnAnswer { samples: vec!["dog".to_owned(); most], ..own_answers()["q"].clone() };
        let own = OwnAnswers::from([("q".to_owned(), many)]);
        let runner = MethodRunner { own_answers: Some(&own), ..*runner };
        assert_eq!(runner.answer(&[(&asked, &[])]).unwrap()[0].option_log_probs.len(), 2);
    });
}

#[test]
fn a_confidence_in_words_is_what_the_model_says_and_needs_an_answer_to_ask_about() {
    with_runner(Method::VerbalisedConfidence, |runner| {
        let (asked, own) = (question(), own_answers());
        assert!(matches!(runner.answer(&[(&asked, &[])]), Err(EvalError::Misaligned { .. })));
        let runner = MethodRunner { own_answers: Some(&own), ..*runner };
        let answer = runner.answer(&[(&asked, &[])]).unwrap().remove(0);
        assert!(answer.option_log_probs.is_empty() && answer.tokens.is_some_and(|tokens| tokens <= 16));
    });
}

#[test]
fn the_explicit_option_comes_last_and_choosing_it_is_a_refusal() {
    let option = "cannot be determined from the audio";
    for answer_by in [AnswerBy::Text, AnswerBy::Guided, AnswerBy::Options] {
        with_answers_by(Method::ExplicitOption, answer_by, |runner| {
            let asked = question();
            assert!(runner.opening(&asked).ends_with(&format!("\n(A) dog\n(B) cat\n(C) {option}")));
            assert_eq!(runner.judge(&asked, option), Judgement::REFUSED);
            let verdict = |text: &str| runner.judge(&asked, text).verdict;
            assert_eq!((verdict("dog"), verdict("cat")), (Verdict::Correct, Verdict::Wrong));
            if answer_by == AnswerBy::Text {
                assert_eq!((verdict("(C)"), verdict("(A)")), (Verdict::Refused, Verdict::Correct));
            }
            let refusals = refusals_of(runner.method, runner.prompts, runner.refusals);
            let runner = MethodRunner { refusals: &refusals, with_options: true, ..*runner };
            let answer = runner.answer(&[(&asked, &[])]).unwrap().remove(0);
            assert_eq!(answer.option_log_probs.len(), 2, "of the options of the question");
            assert!(answer.refusal_margin.is_some());
            if answer_by.is_from_list() {
                assert!(["dog", "cat", option].contains(&answer.text.as_str()), "{}", answer.text);
            }
            let open = Question { choices: Vec::new(), ..asked.original.clone() };
            assert_eq!(runner.opening(&AskedQuestion::new(open, None)), "Which {prompt} is heard?");
        });
    }
}
