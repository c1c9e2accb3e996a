//! Chat templates: the Jinja text that turns a chat into a prompt, as transformers renders it.
//!
//! A folder brings its own in `chat_template.jinja`, `chat_template.json` or `tokenizer_config.json`; where there is none
//! the family's is used. What the engine may spend on one rendering is limited, for a folder can come from anyone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use idk_common::chat::{Message, Part};
use idk_common::limits::MAX_TEMPLATE_BYTES;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, Value};
use regex::Regex;
use serde_json::Value as Json;

/// Work that one rendering may take, in minijinja's fuel: an instruction, or 64 bytes of text. A chat takes some hundreds;
/// this stops a template that loops or doubles a string from using up time or memory.
const FUEL: u64 = 500_000;

/// Depth of macros and blocks that call each other: stops a template from using up the stack.
const RECURSION: usize = 50;

const JINJA_FILE: &str = "chat_template.jinja";
const JSON_FILE: &str = "chat_template.json";
const TOKENIZER_FILE: &str = "tokenizer_config.json";
/// The key of a template in a JSON file.
const KEY: &str = "chat_template";

/// The name of the template within the engine.
const NAME: &str = "chat";

/// The day that a template gets when it asks for today's: a prompt must be the same tomorrow, or a dataset and the model
/// that is trained on it would not fit. The day that Llama's templates fall back on.
const DATE: [(&str, &str); 11] = [
    ("%d", "26"),
    ("%m", "07"),
    ("%b", "Jul"),
    ("%B", "July"),
    ("%Y", "2024"),
    ("%y", "24"),
    ("%a", "Fri"),
    ("%A", "Friday"),
    ("%H", "00"),
    ("%M", "00"),
    ("%S", "00"),
];

/// Where a chat template comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TemplateOrigin {
    /// `chat_template.jinja`.
    Jinja,
    /// `chat_template.json`.
    Json,
    /// `tokenizer_config.json`.
    TokenizerConfig,
    /// The family of this name.
    Family(&'static str),
}

impl fmt::Display for TemplateOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jinja => f.write_str(JINJA_FILE),
            Self::Json => f.write_str(JSON_FILE),
            Self::TokenizerConfig => write!(f, "{TOKENIZER_FILE} (`{KEY}`)"),
            Self::Family(name) => write!(f, "the built-in chat template of {name}"),
        }
    }
}

/// The template among the files of a folder, in the order in which transformers looks for it.
///
/// # Errors
/// What is wrong with the file that should hold it.
pub(crate) fn own_template(
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<Option<(TemplateOrigin, String)>, String> {
    if let Some(bytes) = files.get(JINJA_FILE) {
        let source = std::str::from_utf8(bytes).map_err(|error| format!("{JINJA_FILE}: {error}"))?;
        return Ok(Some((TemplateOrigin::Jinja, source.to_owned())));
    }
    for (file, origin) in
        [(JSON_FILE, TemplateOrigin::Json), (TOKENIZER_FILE, TemplateOrigin::TokenizerConfig)]
    {
        let Some(bytes) = files.get(file) else { continue };
        let value: Json = serde_json::from_slice(bytes).map_err(|error| format!("{file}: {error}"))?;
        // One template, or several by name.
        let source = match value.get(KEY) {
            None | Some(Json::Null) => continue,
            Some(Json::String(source)) => Some(source.as_str()),
            Some(Json::Array(named)) => {
                let default = named.iter().find(|item| item["name"] == "default");
                default.and_then(|item| item["template"].as_str())
            }
            Some(Json::Object(named)) => named.get("default").and_then(Json::as_str),
            Some(_) => None,
        };
        match source {
            Some(source) => return Ok(Some((origin, source.to_owned()))),
            None if origin == TemplateOrigin::TokenizerConfig => {}
            None => {
                return Err(format!("{file}: `{KEY}` holds no template, and none that is called `default`"));
            }
        }
    }
    Ok(None)
}

/// A chat template that has been read.
#[derive(Clone, Debug)]
pub(crate) struct ChatTemplate {
    engine: Arc<Environment<'static>>,
    pub(crate) origin: TemplateOrigin,
    /// Names of special tokens that templates may ask for, such as `bos_token`.
    tokens: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// What is wrong with it, with the line.
    pub(crate) fn new(
        origin: TemplateOrigin,
        source: &str,
        tokens: BTreeMap<String, String>,
    ) -> Result<Self, String> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(format!(
                "{origin}: a chat template of more than {MAX_TEMPLATE_BYTES} bytes is not read"
            ));
        }
        let mut engine = Environment::new();
        // As transformers sets it.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        engine.set_syntax(syntax.map_err(|error| error.to_string())?);
        engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        engine.set_fuel(Some(FUEL));
        engine.set_recursion_limit(RECURSION);
        engine.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        engine.add_function("raise_exception", raise_exception);
        engine.add_function("strftime_now", |format: Cow<'_, str>| {
            DATE.iter().fold(format.into_owned(), |text, (code, value)| text.replace(code, value))
        });
        engine.add_filter("tojson", tojson);
        let source = without_generation_tags(source).into_owned();
        engine.add_template_owned(NAME, source).map_err(|error| format!("{origin}: {}", explain(&error)))?;
        Ok(Self { engine: Arc::new(engine), origin, tokens })
    }

    /// The chat as text, with the beginning of an answer if one is to be made.
    ///
    /// # Errors
    /// What the template says, or what is wrong with it.
    pub(crate) fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, String> {
        let mut context: BTreeMap<&str, Value> = BTreeMap::from([
            ("messages", messages.iter().map(message_value).collect()),
            ("add_generation_prompt", add_generation_prompt.into()),
            ("tools", ().into()),
            ("documents", ().into()),
        ]);
        context.extend(self.tokens.iter().map(|(name, token)| (name.as_str(), Value::from(token.as_str()))));
        let template = self.engine.get_template(NAME);
        let rendered = template.and_then(|template| template.render(Value::from(context)));
        rendered.map_err(|error| explain(&error))
    }

    /// Whether the character is in the template's own text.
    pub(crate) fn has(&self, character: char) -> bool {
        self.engine.get_template(NAME).is_ok_and(|template| template.source().contains(character))
    }
}

/// A message as transformers hands it to a template: text alone as a string, else a list of parts.
fn message_value(message: &Message) -> Value {
    let text = |part: &Part| match part {
        Part::Text(text) => Some(text.clone()),
        Part::Audio => None,
    };
    let content = match message.parts.iter().map(text).collect::<Option<String>>() {
        Some(text) => Value::from(text),
        None => message.parts.iter().map(part_value).collect(),
    };
    Value::from(BTreeMap::from([("role", Value::from(message.role.as_str())), ("content", content)]))
}

fn part_value(part: &Part) -> Value {
    let pair = match part {
        // Some templates look at the type, some for the key.
        Part::Audio => [("type", "audio"), ("audio_url", "clip")],
        Part::Text(text) => [("type", "text"), ("text", text)],
    };
    Value::from(BTreeMap::from(pair.map(|(key, value)| (key, Value::from(value)))))
}

fn raise_exception(message: Cow<'_, str>) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.into_owned()))
}

/// transformers' `tojson`: unlike Jinja's own it leaves `<`, `>`, `&` and `'` as they are.
fn tojson(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let _ascii: Option<bool> = options.get("ensure_ascii")?;
    let escaped = minijinja::filters::tojson(value, indent, options)?.to_string();
    let mut plain = String::with_capacity(escaped.len());
    let mut rest = escaped.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, sequence) = rest.split_at(at);
        plain.push_str(before);
        let written = [("\\u003c", '<'), ("\\u003e", '>'), ("\\u0026", '&'), ("\\u0027", '\'')];
        match written.into_iter().find(|(code, _)| sequence.starts_with(code)) {
            Some((code, character)) => {
                plain.push(character);
                rest = &sequence[code.len()..];
            }
            // Two characters: a backslash that is escaped begins no sequence.
            None => {
                let end = sequence.char_indices().nth(2).map_or(sequence.len(), |(end, _)| end);
                plain.push_str(&sequence[..end]);
                rest = &sequence[end..];
            }
        }
    }
    plain.push_str(rest);
    Ok(Value::from(plain))
}

/// The template without transformers' `{% generation %}` marks around answers, which the engine does not know: blocks
/// that always hold stand there, so that the whitespace stays as it is.
fn without_generation_tags(source: &str) -> Cow<'_, str> {
    static TAG: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").ok());
    let Some(tag) = TAG.as_ref() else { return Cow::Borrowed(source) };
    tag.replace_all(source, |found: &regex::Captures<'_>| {
        let block = if found.get(2).is_some() { "endif" } else { "if true" };
        format!("{{%{} {block} {}%}}", &found[1], &found[3])
    })
}

/// The engine's message, without the text that it was rendering.
fn explain(error: &Error) -> String {
    let line = error.line().map_or(String::new(), |line| format!("line {line}: "));
    match error.kind() {
        ErrorKind::OutOfFuel => "the chat template does not come to an end".to_owned(),
        kind => format!("{line}{}", error.detail().map_or_else(|| kind.to_string(), str::to_owned)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::arch::ARCHITECTURES;

    fn template(source: &str) -> Result<ChatTemplate, String> {
        ChatTemplate::new(
            TemplateOrigin::Jinja,
            source,
            BTreeMap::from([("eos_token".to_owned(), "<e>".to_owned())]),
        )
    }

    /// What a template makes of one message of a user.
    fn rendered(source: &str) -> Result<String, String> {
        template(source)?.render(&[Message::text("user", " Hi ")], true)
    }

    fn message(value: &Json) -> Message {
        let part = |part: &Json| match part["text"].as_str() {
            Some(text) => Part::Text(text.to_owned()),
            None => Part::Audio,
        };
        let parts = match &value["content"] {
            Json::String(text) => vec![Part::Text(text.clone())],
            parts => parts.as_array().unwrap().iter().map(part).collect(),
        };
        Message { role: value["role"].as_str().unwrap().to_owned(), parts }
    }

    #[test]
    fn templates_render_as_transformers_renders_them() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/chat-templates/prompts.json");
        let families: BTreeMap<String, Json> = idk_common::json::read_json(&path).unwrap();
        let mut chats = 0;
        for (family, found) in &families {
            let template = template(found["template"].as_str().unwrap()).unwrap();
            for (name, chat) in found["chats"].as_object().unwrap() {
                let messages: Vec<Message> =
                    chat["messages"].as_array().unwrap().iter().map(message).collect();
                let text = chat["text"].as_str().unwrap();
                assert_eq!(template.render(&messages, true).unwrap(), text, "{family} {name}");
                chats += 1;
            }
        }
        assert!(chats > 10, "{chats}");
    }

    #[test]
    fn the_default_system_prompt_gives_way_to_the_chats_own() {
        let built_in = template(ARCHITECTURES[0].template.built_in.unwrap()).unwrap();
        let own = [Message::text("system", "Be brief."), Message::text("user", "Hi")];
        assert_eq!(
            built_in.render(&own, true).unwrap(),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
        assert_eq!(
            built_in.render(&own[1..], false).unwrap(),
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        );
    }

    #[test]
    fn audio_clips_are_numbered_over_the_whole_chat() {
        let built_in = template(ARCHITECTURES[0].template.built_in.unwrap()).unwrap();
        let chat = [Message::from_tagged("user", "<audio>Hi"), Message::from_tagged("user", "<audio>")];
        let rendered = built_in.render(&chat, false).unwrap();
        assert!(
            rendered.contains("user\nAudio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\nHi<|im_end|>"),
            "{rendered}"
        );
        assert!(
            rendered.contains("user\nAudio 2: <|audio_bos|><|AUDIO|><|audio_eos|>\n<|im_end|>"),
            "{rendered}"
        );
    }

    #[test]
    fn what_templates_of_models_use_is_there() {
        for (source, expected) in [
            // Lines that hold a block alone leave nothing behind.
            ("  {% if true %}\n  a\n  {% endif %}\nb\n", "  a\nb"),
            ("{{ messages[0]['content'].strip().upper() }}", "HI"),
            ("{% if messages[0].content.startswith(' H') and 'i' in messages[0].content %}x{% endif %}", "x"),
            ("{{ messages[0].get('name', 'none') }}", "none"),
            ("{% for key, value in {'a': 1}.items() %}{{ key }}{{ value }}{% endfor %}", "a1"),
            ("{% for m in [1, 2, 3] %}{% if m == 2 %}{% break %}{% endif %}{{ m }}{% endfor %}", "1"),
            (
                "{{ eos_token }}{% if tools %}x{% endif %}{% if not bos_token is defined %}y{% endif %}",
                "<e>y",
            ),
            ("{{ strftime_now('%A %d %B %Y') }}", "Friday 26 July 2024"),
            (r#"{{ ["<b> & 'q'", "\\u003c"]|tojson }}"#, r#"["<b> & 'q'", "\\u003c"]"#),
            ("{%- for m in messages -%} a {%- generation -%} b {% endgeneration %}c{% endfor %}", "ab c"),
        ] {
            assert_eq!(rendered(source).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn a_message_of_a_template_and_a_mistake_in_one_name_the_line() {
        let said = rendered("a\n{{ raise_exception('roles must alternate') }}").unwrap_err();
        assert_eq!(said, "line 2: roles must alternate");
        for wrong in ["a\n{% if %}", "a\n{{ x.y.z }}", "a\n{{ 'x'|no_such_filter }}", "a\n{% include 'b' %}"]
        {
            let error = rendered(wrong).unwrap_err();
            assert!(error.contains("line 2: "), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_template_that_loops_or_grows_without_end_is_stopped() {
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(50_000), ")".repeat(50_000));
        for hostile in [
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
            "{% set n = namespace(x='aaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
            "{{ 'aaaaaaaaaa' * 10000000000 }}",
            "{{ range(100000000)|list|length }}",
            "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
            "{{ '%999999999d'|format(3) }}",
            &deep,
            &"a".repeat(MAX_TEMPLATE_BYTES + 1),
        ] {
            let start = std::time::Instant::now();
            assert!(rendered(hostile).is_err(), "{}", &hostile[..40]);
            assert!(start.elapsed().as_secs() < 20, "{}", &hostile[..40]);
        }
    }
}
