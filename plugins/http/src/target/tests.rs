//! Tables: which URLs can be used, which hosts are allowed, where redirects may lead.

use url::Url;

use super::{Hosts, RedirectError, UrlError, origin, parse, redirected};

fn hosts(entries: &[&str]) -> Hosts {
    let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
    Hosts::read(&entries).expect("the hosts can be read")
}

fn url(text: &str) -> Url {
    parse(text).expect("the URL can be used")
}

#[test]
fn only_http_without_credentials_can_be_used() {
    assert_eq!(
        url("HTTP://Example.ORG:80/a?b#c").as_str(),
        "http://example.org/a?b"
    );
    assert_eq!(
        url("https://bücher.example/").as_str(),
        "https://xn--bcher-kva.example/"
    );
    // The ways to write a number are one address, before anybody looks at it.
    for written in [
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
    ] {
        assert_eq!(url(written).host_str(), Some("127.0.0.1"), "{written}");
    }
    let scheme = |name: &str| UrlError::Scheme(name.to_owned());
    assert_eq!(parse("file:///etc/passwd"), Err(scheme("file")));
    assert_eq!(parse("gopher://a/"), Err(scheme("gopher")));
    assert_eq!(parse("example.org:80/a"), Err(scheme("example.org")));
    assert_eq!(parse("http://user@a/"), Err(UrlError::Credentials));
    assert_eq!(parse("http://:word@a/"), Err(UrlError::Credentials));
    for unreadable in ["", "/jobs", "http://", "http://a b/", "http://[::1/"] {
        let error = parse(unreadable);
        assert!(
            matches!(error, Err(UrlError::Unreadable(_))),
            "{unreadable}: {error:?}"
        );
    }
}

#[test]
fn what_is_shown_of_a_url_has_no_path_and_no_query() {
    assert_eq!(
        origin(&url("https://a.example/secret?token=1")),
        "https://a.example"
    );
    assert_eq!(origin(&url("http://[::1]:8080/secret")), "http://[::1]:8080");
}

#[test]
fn a_host_is_allowed_by_its_name_or_by_a_domain_above_it() {
    let allowed = hosts(&["Hooks.example.org", "*.example.net", "10.0.0.1", "[::1]"]);
    for good in [
        "http://hooks.example.org/",
        "https://HOOKS.example.org.:8443/",
        "http://a.example.net/",
        "http://a.b.example.net./",
        "http://10.0.0.1/",
        "http://167772161/",
        "http://[::1]:80/",
    ] {
        assert!(allowed.contain(&url(good)), "{good}");
    }
    for bad in [
        "http://example.org/",
        "http://a.hooks.example.org/",
        "http://hooks.example.org.evil.test/",
        "http://example.net/",
        "http://evilexample.net/",
        "http://10.0.0.2/",
        "http://[::2]/",
    ] {
        assert!(!allowed.contain(&url(bad)), "{bad}");
    }
    for entry in ["http://a/", "a:80", "*", "*.10.0.0.1", "a b", "", "*.", "a/b"] {
        assert_eq!(
            Hosts::read(&[entry.to_owned()]).map(|_| ()),
            Err(entry.to_owned())
        );
    }
}

#[test]
fn a_redirect_leads_to_the_same_origin_or_to_an_allowed_host_without_losing_tls() {
    let allowed = hosts(&["b.example"]);
    let elsewhere = |origin: &str| Err(RedirectError::Elsewhere(origin.to_owned()));
    let from = url("https://a.example/jobs");
    let to = |location: &str| redirected(&from, location, &allowed).map(String::from);
    assert_eq!(to("/new"), Ok("https://a.example/new".to_owned()));
    assert_eq!(
        to("https://a.example:443/new"),
        Ok("https://a.example/new".to_owned())
    );
    assert_eq!(
        to("https://b.example:8443/"),
        Ok("https://b.example:8443/".to_owned())
    );
    assert_eq!(to("https://a.example:8443/"), elsewhere("https://a.example:8443"));
    assert_eq!(to("//c.example/"), elsewhere("https://c.example"));
    assert_eq!(to("http://a.example/"), Err(RedirectError::Downgrade));
    assert_eq!(to("http://b.example/"), Err(RedirectError::Downgrade));
    let scheme = RedirectError::Location(UrlError::Scheme("file".to_owned()));
    assert_eq!(to("file:///etc/passwd"), Err(scheme));
    assert_eq!(
        to("https://x@a.example/"),
        Err(RedirectError::Location(UrlError::Credentials))
    );

    let from = url("http://a.example/");
    assert_eq!(
        redirected(&from, "https://b.example/", &allowed).map(String::from),
        Ok("https://b.example/".to_owned())
    );
    assert_eq!(
        redirected(&from, "https://a.example/", &allowed).map(String::from),
        elsewhere("https://a.example")
    );
}
