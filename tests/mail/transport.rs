//! `identity-service mail test` shows how mails leave.

use crate::harness::{Authority, IDENTITY, Mailbox, SmtpSink, free_port, program};

const ADDRESS: &str = "king.arthur@camelot.bt";
const LOGIN: &str = "arthur:hunter2/@:";

/// What the command says with this value of `MAIL`; its exit code, if it fails.
fn test(mail: &str, address: &str) -> Result<String, (Option<i32>, String)> {
    let all = IDENTITY.into_iter().chain([("MAIL", mail)]);
    let variables: Vec<_> = all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let output = program("identity-service", &variables).args(["mail", "test", address]).output().unwrap();
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap());
    }
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.trim_end().lines().count() == 1 && !said.contains("hunter2"), "{said}");
    Err((output.status.code(), said))
}

fn refusal(mail: &str, address: &str) -> String {
    let (code, said) = test(mail, address).unwrap_err();
    assert_eq!(code, Some(1), "{said}");
    said
}

#[tokio::test]
async fn a_mail_leaves_in_plain_with_starttls_and_with_tls_and_only_to_who_is_believed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (certificate, stranger) = (authority.certificate(), other.certificate());
    let (root, false_root) = (certificate.path().display(), stranger.path().display());
    let identity = authority.identity(&["localhost"]);
    let pem = identity.path().to_str().unwrap();
    let plain = SmtpSink::start(&[]);
    let start = SmtpSink::start(&["--tls", "start", "--certificate", pem, "--login", LOGIN]);
    let implicit = SmtpSink::start(&["--tls", "implicit", "--certificate", pem, "--login", LOGIN]);
    let (user, port) = ("arthur:hunter2%2F%40%3A@", |sink: &SmtpSink| sink.port);
    for (sink, url) in [
        (&plain, format!("smtp://127.0.0.1:{}", port(&plain))),
        (&plain, format!("smtp://localhost:{}?tls=none", port(&plain))),
        (&start, format!("smtp://{user}localhost:{}?tls=required&sslrootcert={root}", port(&start))),
        (&implicit, format!("smtps://{user}localhost:{}?sslrootcert={root}", port(&implicit))),
    ] {
        let before = sink.mails.all().len();
        assert_eq!(test(&url, ADDRESS).as_deref(), Ok("the mail was taken\n"), "{url}");
        assert_eq!(sink.mails.wait_for(ADDRESS, before + 1).await.len(), before + 1);
    }
    for (url, why) in [
        (format!("smtp://127.0.0.1:{}?tls=required", port(&plain)), "does not offer STARTTLS"),
        (format!("smtp://{user}localhost:{}", port(&plain)), "offers no known way to log in"),
        (format!("smtp://localhost:{}", port(&start)), "answered 530"),
        (format!("smtp://localhost:{}?sslrootcert={root}", port(&start)), "answered 530"),
        (
            format!("smtp://arthur:hunter2@localhost:{}?sslrootcert={root}", port(&start)),
            "refused the login: it answered 535",
        ),
        (format!("smtp://localhost:{}?sslrootcert={false_root}", port(&start)), "certificate"),
        (format!("smtp://127.0.0.1:{}?sslrootcert={root}", port(&start)), "certificate"),
        (format!("smtps://localhost:{}?sslrootcert={false_root}", port(&implicit)), "certificate"),
        (format!("smtps://localhost:{}", port(&implicit)), "certificate"),
        (format!("smtps://localhost:{}", port(&plain)), "TLS with the mail server failed"),
        (format!("smtp://localhost:{}", free_port()), "refused the connection"),
        ("smtp://nobody.invalid".to_owned(), "cannot be looked up"),
    ] {
        let said = refusal(&url, ADDRESS);
        assert!(
            said.starts_with("identity-service: the mail was not sent: ") && said.contains(why),
            "{url}: {said}"
        );
    }
}

#[tokio::test]
async fn what_a_mail_server_says_in_words_is_not_repeated() {
    let mut sink = SmtpSink::start(&["--ascii"]);
    let url = sink.url();
    for (does, why) in [
        ("recipient 550", "refused the address: it answered 550"),
        ("recipient 450", "does not take mails for the address now: it answered 450"),
        ("data 554", "the mail server answered 554"),
    ] {
        sink.does(does);
        let said = refusal(&url, ADDRESS);
        assert!(said.contains(why) && !said.contains("camelot"), "{said}");
    }
    sink.does("accept");
    assert!(refusal(&url, "артур@camelot.bt").contains("SMTPUTF8"));
    assert!(test(&url, "arthur@камелот.рф").is_ok());
    assert_eq!(sink.mails.to("arthur@xn--80akngdo2a.xn--p1ai").len(), 1);
}

#[tokio::test]
async fn an_internationalised_address_is_written_to() {
    let sink = SmtpSink::start(&[]);
    assert!(test(&sink.url(), "артур@camelot.bt").is_ok());
    let mail = sink.mails.wait_for("артур@camelot.bt", 1).await.remove(0);
    assert_eq!(mail.header("X-Rcpt-To").as_deref(), Some("артур@camelot.bt"));
}

#[test]
fn a_test_mail_can_become_a_file_and_needs_an_address_and_a_way() {
    let mails = Mailbox::new();
    let url = format!("dir:{}/deep/er", mails.folder().display());
    assert!(test(&url, ADDRESS).is_ok());
    let files = std::fs::read_dir(mails.folder().join("deep/er")).unwrap();
    assert_eq!(files.filter(|file| file.as_ref().unwrap().path().extension().unwrap() == "eml").count(), 1);
    assert!(refusal(&url, "nobody").contains("is not an e-mail address"));
    assert!(refusal("", ADDRESS).contains("MAIL is not set"));
    assert_eq!(test("smtp://u@h", ADDRESS).unwrap_err().0, Some(2));
}
