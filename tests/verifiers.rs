//! Another service verifies our tokens with nothing but the issuer, by the libraries that are usual in its language: the
//! programs that README gives are run as they stand there.

mod verify;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Forge, Http, PASSWORD, Process, Stack, claims, free_port, jws, repository};

const EMAIL: &str = "king.arthur@camelot.bt";
const METADATA: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/.well-known/jwks.json";
/// For how long all of these libraries do not ask again after they have asked.
const COOLDOWN: Duration = Duration::from_secs(30);

/// The only block of README in this language.
fn block(language: &str) -> String {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let blocks: Vec<_> = readme.split(&format!("```{language}\n")).skip(1).collect();
    assert_eq!(blocks.len(), 1, "README has not one block of {language}");
    blocks[0].split("```").next().unwrap().to_owned()
}

/// A program of README that is running.
struct Program {
    child: Child,
    tokens: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Program {
    fn start(program: &str, arguments: &[&str], language: &str, issuer: &str) -> Self {
        let (written, text) = ("http://localhost:8000", block(language));
        assert!(text.contains(written), "the program does not say {written}");
        let mut child = Command::new(program)
            .current_dir(repository().join("tests"))
            .args(arguments)
            .arg(text.replace(written, issuer))
            .env("no_proxy", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/run installs it");
        let tokens = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, tokens, answers }
    }

    /// Its answer to a token.
    fn answer(&mut self, token: &str) -> String {
        writeln!(self.tokens, "{token}").expect("it runs");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it runs");
        assert!(line.ends_with('\n'), "it has ended");
        line.trim_end().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A service that verifies tokens.
enum Service {
    Program(Program),
    Rust(verify::Verifier),
}

impl Service {
    fn in_python(issuer: &str) -> Self {
        let python = repository().join("target/tools/verifiers/bin/python");
        Self::Program(Program::start(python.to_str().unwrap(), &["-c"], "python", issuer))
    }

    fn in_node(issuer: &str) -> Self {
        Self::Program(Program::start("node", &["--input-type=module", "--eval"], "js", issuer))
    }

    async fn in_rust(issuer: &str) -> Self {
        Self::Rust(verify::Verifier::of(issuer).await.unwrap())
    }

    /// Whom a token names; else why it is refused.
    async fn verify(&mut self, token: &str) -> Result<String, String> {
        match self {
            Self::Program(program) => {
                let answer = program.answer(token);
                answer.strip_prefix("refused: ").map_or(Ok(answer.clone()), |why| Err(why.to_owned()))
            }
            Self::Rust(verifier) => match verifier.verify(token).await {
                Ok(verify::Claims { sub, sid, iat }) => {
                    assert_eq!((&claims(token)["sid"], &claims(token)["iat"]), (&json!(sid), &json!(iat)));
                    Ok(sub)
                }
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

/// A gateway that is the issuer at its own address, a user's id and token, and who can sign as the issuer does.
struct Scene {
    stack: Stack,
    issuer: String,
    id: String,
    token: String,
    forge: Forge,
}

impl Scene {
    async fn set() -> Self {
        let mut stack = Stack::start().await;
        let issuer = format!("http://127.0.0.1:{}", stack.gateway.port);
        stack.identity.set("ISSUER", &issuer);
        restart(&mut stack).await;
        let http = stack.http();
        let is_told = async || http.bare("GET", METADATA, "").await.json()["issuer"] == issuer.as_str();
        stack.gateway.until("told of the issuer", Duration::from_secs(20), is_told).await;
        let (id, token) = stack.user(EMAIL).await;
        let forge = Forge::with_the_real_key(&stack.database).await;
        Self { stack, issuer, id, token, forge }
    }

    /// Tokens that nobody may believe, each with what is wrong with it.
    fn bad_tokens(&self) -> Vec<(&'static str, String)> {
        let Self { token, forge, .. } = self;
        let iat = claims(token)["iat"].as_i64().unwrap();
        let with_claims = |changes: Value| forge.with_claims(token, changes);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let turned = format!("{}{}", &signature[1..], &signature[..1]);
        let parts: Vec<_> = token.split('.').collect();
        let other_payload = with_claims(json!({"sub": uuid::Uuid::nil()}));
        let other_payload = other_payload.split('.').nth(1).unwrap().to_owned();
        let foreign = forge.with_another_key();
        let unsigned = jws(r#"{"alg":"none","typ":"at+jwt"}"#, claims(token).to_string(), |_| Vec::new());
        vec![
            ("expired", with_claims(json!({"iat": iat - 7200, "exp": iat - 3600}))),
            ("another signature", format!("{signed}.{turned}")),
            ("other claims", [parts[0], &other_payload, parts[2]].join(".")),
            ("signed by somebody else", foreign.with_claims(token, json!({}))),
            ("a key of somebody else", foreign.with_header(token, json!({"kid": "his"}))),
            ("a key of somebody else that has no name", foreign.with_header(token, json!({"kid": null}))),
            ("for others", with_claims(json!({"aud": ["fastapi-users:reset"]}))),
            ("for nobody", with_claims(json!({"aud": null}))),
            ("of another issuer", with_claims(json!({"iss": "http://id.example"}))),
            ("of no issuer", with_claims(json!({"iss": null}))),
            ("of another type", forge.with_header(token, json!({"typ": "JWT"}))),
            ("of no type", forge.with_header(token, json!({"typ": null}))),
            ("good for ever", with_claims(json!({"exp": null}))),
            ("issued at no time", with_claims(json!({"iat": null}))),
            ("without a user", with_claims(json!({"sub": null}))),
            ("without a session", with_claims(json!({"sid": null}))),
            ("not signed", unsigned),
            ("nonsense", "nonsense".to_owned()),
        ]
    }

    async fn is_judged_well_by(&self, mut service: Service) {
        assert_eq!(service.verify(&self.token).await, Ok(self.id.clone()));
        for (what, token) in self.bad_tokens() {
            let outcome = service.verify(&token).await;
            println!("{what}: {outcome:?}");
            assert!(outcome.is_err(), "a token is believed that is {what}: {token}");
        }
        assert_eq!(service.verify(&self.token).await, Ok(self.id.clone()));
    }
}

async fn restart(stack: &mut Stack) {
    stack.identity.kill();
    stack.identity.restart();
    stack.identity.until_serving().await;
}

#[tokio::test]
async fn a_service_in_python_believes_whom_it_should_and_nobody_else() {
    let scene = Scene::set().await;
    scene.is_judged_well_by(Service::in_python(&scene.issuer)).await;
}

#[tokio::test]
async fn a_service_in_node_believes_whom_it_should_and_nobody_else() {
    let scene = Scene::set().await;
    scene.is_judged_well_by(Service::in_node(&scene.issuer)).await;
}

#[tokio::test]
async fn a_service_in_rust_believes_whom_it_should_and_nobody_else() {
    let scene = Scene::set().await;
    scene.is_judged_well_by(Service::in_rust(&scene.issuer).await).await;
}

#[test]
fn the_program_in_rust_that_is_tested_is_the_one_that_readme_gives() {
    let tested = std::fs::read_to_string(repository().join("tests/verifiers/verify.rs")).unwrap();
    assert_eq!(block("rust"), tested, "put tests/verifiers/verify.rs into README");
}

#[tokio::test]
async fn a_key_that_they_have_not_seen_yet_they_fetch_by_themselves() {
    let scene = Scene::set().await;
    let issuer = &scene.issuer;
    let mut services = vec![
        ("python", Service::in_python(issuer)),
        ("node", Service::in_node(issuer)),
        ("rust", Service::in_rust(issuer).await),
    ];
    for (_, service) in &mut services {
        assert_eq!(service.verify(&scene.token).await, Ok(scene.id.clone()));
    }
    // The first time the key signs that they know already, the second time one that they do not.
    for _ in 0..2 {
        scene.stack.identity.command(&["key", "rotate", "--now"]).unwrap();
    }
    let token = scene.stack.http().token(EMAIL, PASSWORD).await;
    for (language, service) in &mut services {
        let is_believed = async || service.verify(&token).await == Ok(scene.id.clone());
        let what = format!("publishing a key that the service in {language} fetches");
        scene.stack.gateway.until(&what, COOLDOWN + Duration::from_secs(5), is_believed).await;
    }
}

#[tokio::test]
async fn the_metadata_say_what_is_true_of_the_issuer_whatever_a_request_calls_us() {
    let scene = Scene::set().await;
    let (http, issuer) = (scene.stack.http(), &scene.issuer);
    let expected = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}{KEYS}"),
        "token_endpoint": format!("{issuer}/auth/jwt/login"),
        "grant_types_supported": ["password"],
        "scopes_supported": ["offline_access"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
    });
    assert_eq!(claims(&scene.token)["iss"], issuer.as_str());
    for (header, value) in [
        ("x-nothing", ""),
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example;proto=https"),
        ("x-forwarded-proto", "https"),
    ] {
        let answer = http.send(http.request("GET", METADATA).header(header, value)).await;
        assert_eq!((answer.status, answer.json()), (200, expected.clone()), "{header}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    // What is there is where the metadata say.
    let keys = http.bare("GET", KEYS, "").await;
    assert_eq!(keys.json()["keys"][0]["kid"], scene.forge.header()["kid"]);
    let token = http.token(EMAIL, PASSWORD).await;
    assert_eq!(claims(&token)["sub"], scene.id.as_str());
}

#[tokio::test]
async fn what_verifiers_may_keep_is_the_same_for_both_and_nothing_before_anything_is_known() {
    let stack = Stack::start().await;
    let alone = Process::gateway_to(free_port(), &[]);
    let of_nobody = Http::new(alone.port);
    let is_live = async || of_nobody.try_get("/health/live").await.is_some();
    alone.until("live", Duration::from_secs(5), is_live).await;
    for path in [METADATA, KEYS] {
        let answer = stack.http().bare("GET", path, "").await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "public, max-age=300"));
        let answer = of_nobody.bare("GET", path, "").await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(!answer.header("cache-control").contains("max-age"), "{answer:?}");
    }
}
