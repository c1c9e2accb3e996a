//! The client against a server that fails on purpose.

mod replays;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use idk_common::chat::Message;
use idk_common::diagnose::{Diagnose, ExitKind};
use serde_json::{Value, json};

use crate::fake::{Act, FakeServer, completion};
use crate::*;

fn settings(server: &FakeServer) -> ServerSettings {
    ServerSettings {
        url: server.url.clone(),
        model: "tiny".to_owned(),
        key_env: String::new(),
        concurrency: 1,
        timeout: Duration::from_secs(20),
        max_retries: 3,
        ..ServerSettings::default()
    }
}

fn decoding() -> Decoding {
    Decoding {
        choices: 3,
        temperature: 1.0,
        top_p: 1.0,
        top_k: 0,
        repetition_penalty: 1.0,
        max_new_tokens: 6,
        stop_token_ids: vec![7],
    }
}

fn prompt(number: usize) -> ServerPrompt {
    let id = format!("q{}", number + 1);
    let messages = vec![Message::user(1, "What is that sound?")];
    ServerPrompt {
        seed: first_seed(7, &id),
        id,
        messages,
        clips: vec![vec![1, 2, 3]],
        token_ids: Some(vec![1, 2]),
        ..ServerPrompt::default()
    }
}

/// Asks `count` questions, waiting next to nothing between attempts.
fn ask(count: usize, settings: &ServerSettings) -> Result<Vec<Vec<ServerAnswer>>, ServerError> {
    let mut server = Server::open(settings)?;
    server.first_wait = Duration::from_millis(2);
    let answered = AtomicUsize::new(0);
    let count_one = || {
        answered.fetch_add(1, Ordering::Relaxed);
    };
    let answers = server.answer_all(
        count,
        &decoding(),
        &AtomicBool::new(false),
        &|number| Ok::<_, ServerError>(prompt(number)),
        &count_one,
    )?;
    assert_eq!(answered.into_inner(), count);
    Ok(answers.unwrap())
}

/// The failure of a run whose every request gets `act`, with its exit code, and how many requests there were.
fn failure_of(act: impl Fn() -> Act + Send + Sync + 'static) -> (ServerFailure, ExitKind, usize) {
    let server = FakeServer::start(move |_, _| act());
    failure_with(&settings(&server), &server)
}

fn failure_with(settings: &ServerSettings, server: &FakeServer) -> (ServerFailure, ExitKind, usize) {
    let error = ask(3, settings).unwrap_err();
    let exit = error.exit_kind();
    assert!(error.hint().is_some());
    match error {
        ServerError::Unanswered(failure) => (*failure, exit, server.seen().len()),
        other => panic!("{other}"),
    }
}

#[test]
fn a_server_that_is_busy_for_a_while_is_asked_again_with_the_same_bytes() {
    let server = FakeServer::start(|number, request| match number {
        0 => Act::error(503, "busy"),
        1 => Act::Hang,
        2 => Act::Break,
        _ => Act::good(request),
    });
    let answers = ask(3, &settings(&server)).unwrap();
    let calm = FakeServer::start(|_, request| Act::good(request));
    assert_eq!(answers, ask(3, &settings(&calm)).unwrap(), "the answers show nothing of the trouble");
    let seen = server.seen();
    assert_eq!(seen.len(), 6);
    assert!(seen[1..4].iter().all(|again| again.body == seen[0].body));
}

#[test]
fn a_server_that_stays_broken_is_given_up_after_the_allowed_retries() {
    let (failure, exit, requests) = failure_of(|| Act::error(500, "EngineCore encountered an issue"));
    assert_eq!((failure.fault, exit, requests), (ServerFault::Failing, ExitKind::Io, 4));
    let text = failure.to_string();
    assert!(text.starts_with("question `q1`: POST http://127.0.0.1:"), "{text}");
    assert!(text.ends_with("status 500, 4 attempts: EngineCore encountered an issue"), "{text}");
}

#[test]
fn a_prompt_without_its_recording_is_not_sent() {
    let server = FakeServer::start(|_, request| Act::good(request));
    let prompt = ServerPrompt { clips: Vec::new(), ..prompt(0) };
    let error =
        Server::open(&settings(&server)).unwrap().answer(&prompt, &decoding(), &|| false).unwrap_err();
    assert_eq!(error.to_string(), "question `q1`: its messages have 1 recordings, but 0 are given");
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn a_dead_socket_is_a_network_failure() {
    let (failure, exit, requests) = failure_of(|| Act::Hang);
    assert_eq!((failure.fault, exit, requests), (ServerFault::Unreachable, ExitKind::Io, 4));
    assert!(failure.what.contains("closed unanswered"), "{failure}");
    let (failure, exit, _) = failure_of(|| Act::Break);
    assert_eq!((failure.fault, exit), (ServerFault::Unreachable, ExitKind::Io));
    assert!(failure.what.contains("in the middle"), "{failure}");
    // Nobody listens there any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = FakeServer::start(|_, request| Act::good(request));
    let nobody = ServerSettings { url: format!("http://{gone}"), ..settings(&server) };
    let (failure, exit, requests) = failure_with(&nobody, &server);
    assert_eq!((failure.fault, exit, requests), (ServerFault::Unreachable, ExitKind::Io, 0));
    assert_eq!(failure.attempts, 4);
}

#[test]
fn a_reply_that_does_not_come_in_time_is_a_network_failure() {
    let server =
        FakeServer::start(|_, request| Act::Late(Duration::from_secs(3), Box::new(Act::good(request))));
    let started = Instant::now();
    let hasty = ServerSettings { timeout: Duration::from_secs(1), max_retries: 1, ..settings(&server) };
    let (failure, exit, requests) = failure_with(&hasty, &server);
    assert_eq!((failure.fault, exit, requests), (ServerFault::Unreachable, ExitKind::Io, 2));
    assert!(failure.to_string().contains("2 attempts: no reply within 1 s"), "{failure}");
    assert!(started.elapsed() < Duration::from_millis(2900), "{:?}", started.elapsed());
}

#[test]
fn retry_after_is_waited_for_but_not_without_end() {
    let server = FakeServer::start(|number, request| match number {
        0 => Act::Say(429, "Retry-After: 1\r\n", String::new()),
        _ => Act::good(request),
    });
    let started = Instant::now();
    ask(3, &settings(&server)).unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    let (failure, exit, requests) = failure_of(|| Act::Say(429, "Retry-After: 3600\r\n", "quota".to_owned()));
    assert_eq!((failure.fault, exit, requests), (ServerFault::Failing, ExitKind::Io, 1));
    assert!(failure.to_string().contains("status 429: it asks to wait 3600 s: quota"), "{failure}");
}

#[test]
fn a_reply_that_is_not_usable_is_bad_data_and_not_asked_for_again() {
    let too_few = FakeServer::start(|_, request| {
        let mut reply = completion(request);
        reply["choices"].as_array_mut().unwrap().truncate(1);
        Act::Say(200, "", reply.to_string())
    });
    let (failure, exit, requests) = failure_with(&settings(&too_few), &too_few);
    assert_eq!((failure.fault, exit, requests), (ServerFault::BadReply, ExitKind::BadData, 1));
    assert!(failure.to_string().ends_with("/v1/chat/completions: 1 choices, 3 asked for"), "{failure}");
    for garbage in ["{\"choices\": [", "<html>\u{1b}[2J Sign in</html>", "", "null"] {
        let (failure, exit, requests) = failure_of(move || Act::Say(200, "", garbage.to_owned()));
        assert_eq!(
            (failure.fault, exit, requests),
            (ServerFault::BadReply, ExitKind::BadData, 1),
            "{garbage}"
        );
        assert!(!failure.to_string().contains('\u{1b}'));
    }
}

#[test]
fn what_will_not_change_is_not_asked_again() {
    let detail = || Act::Say(404, "", r#"{"detail":"Not Found"}"#.to_owned());
    let moved = || Act::Say(301, "Location: http://example.invalid/\r\n", String::new());
    type Case = (fn() -> Act, ServerFault, ExitKind, &'static str);
    let cases: [Case; 6] = [
        (detail, ServerFault::WrongUrl, ExitKind::Usage, "status 404: {\"detail\":\"Not Found\"}"),
        (moved, ServerFault::WrongUrl, ExitKind::Usage, "status 301: the reply is empty"),
        (
            || Act::error(404, "The model `tiny` does not exist."),
            ServerFault::NoSuchModel,
            ExitKind::Usage,
            "does not exist",
        ),
        (
            || Act::Say(401, "", r#"{"error":"Unauthorized"}"#.to_owned()),
            ServerFault::Denied,
            ExitKind::Usage,
            "status 401: Unauthorized",
        ),
        (
            || Act::error(400, "max context length is 10 tokens"),
            ServerFault::Refused,
            ExitKind::BadData,
            "status 400: max context",
        ),
        (
            || Act::Say(422, "", r#"{"detail":"Unexpected fields"}"#.to_owned()),
            ServerFault::Refused,
            ExitKind::BadData,
            "Unexpected",
        ),
    ];
    for (act, fault, code, text) in cases {
        let (failure, exit, requests) = failure_of(act);
        assert_eq!((failure.fault, exit, requests), (fault, code, 1), "{failure}");
        assert!(failure.to_string().contains(text), "{failure}");
    }
}

#[test]
fn another_prompt_than_the_local_one_is_refused() {
    let server = FakeServer::start(|_, request| {
        let mut reply = completion(request);
        reply["prompt_token_ids"] = json!([1, 2, 3]);
        Act::Say(200, "", reply.to_string())
    });
    let (failure, exit, _) = failure_with(&settings(&server), &server);
    assert_eq!((failure.fault, exit), (ServerFault::OtherPrompt, ExitKind::BadData));
}

#[test]
fn as_many_requests_as_allowed_are_under_way_and_the_answers_do_not_show_it() {
    let late = |ms| {
        move |_: usize, request: &Value| Act::Late(Duration::from_millis(ms), Box::new(Act::good(request)))
    };
    let (one, four) = (FakeServer::start(late(0)), FakeServer::start(late(150)));
    let answers = ask(12, &settings(&one)).unwrap();
    let many = ServerSettings { concurrency: 4, ..settings(&four) };
    assert_eq!(answers, ask(12, &many).unwrap());
    assert_eq!((one.most_at_once(), four.most_at_once()), (1, 4));
    assert_eq!((one.seen().len(), four.seen().len()), (12, 12));
}

#[test]
fn after_a_failure_no_further_question_is_sent() {
    let server = FakeServer::start(|number, request| match number {
        4 => Act::error(400, "no"),
        _ => Act::good(request),
    });
    let error = ask(50, &ServerSettings { concurrency: 2, ..settings(&server) }).unwrap_err();
    assert!(matches!(error, ServerError::Unanswered(_)), "{error}");
    // The other thread may have sent some more while the failure was on its way.
    assert!(server.seen().len() < 25, "{}", server.seen().len());
}
