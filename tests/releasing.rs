//! The handbook's chapter on releases, followed by somebody who has a daemon with an older release.

use std::fs;

use crate::support::{
    Beanstalkd, Directory,
    author::{Author, repository},
    have,
};

/// What a job's handler writes, in the release that is put in place by the chapter.
const GREETING: &str = "Hello again";

/// As the chapter has it, so that nothing is built for both.
const REMAPPED: &str = r#"RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo""#;

/// The server's configuration: its daemon demands the hash, as the chapter has it.
fn config(place: &Directory) -> String {
    let root = place.root().display();
    format!(
        "[plugins]\nload = [\"{root}/libcourier.so\"]\nrequire_sha256 = true\nlock = \"{root}/plugins.lock\"\n\
         [handler.courier]\nfile = \"texts.txt\"\n[daemon]\npid_file = \"{root}/host.pid\"\n\
         [[pool]]\nname = \"courier\"\ntubes = [\"courier\"]\n"
    )
}

/// Has the daemon do a job, after which its handlers have written this in all.
#[track_caller]
fn have_written(author: &mut Author, written: &str) {
    author.run("asynccall-host call -c shop.toml --body job.json");
    author.wait_for_file("texts.txt", written);
}

#[test]
fn a_release_is_built_installed_loaded_and_taken_back_by_the_commands_of_the_handbook() {
    if !have("objdump", &["--version"], "Debian: apt-get install binutils") {
        return;
    }
    let Some(queue) = Beanstalkd::start() else {
        return;
    };
    let place = Directory::new();
    let mut author = Author::new()
        .with_queue(&queue)
        .where_stands("/srv/plugins", place.root().display().to_string());
    author.begin(&["courier"]);
    author.run("cd courier");
    fs::write(author.path("shop.toml"), config(&place)).expect("the file is written");

    let chapter = repository().join("plugin-api/src/handbook/releasing.md");
    let chapter = fs::read_to_string(chapter).expect("there is a chapter");
    let (_, rest) = chapter.split_once("```toml\n").expect("it begins with a profile");
    let (profile, chapter) = rest.split_once("```\n").expect("the block ends");
    let manifest = fs::read_to_string(author.path("Cargo.toml")).expect("there is one");
    fs::write(author.path("Cargo.toml"), manifest + "\n" + profile).expect("the file is written");

    author.run(&format!("{REMAPPED} cargo build --quiet --release"));
    author.run("cp target/release/libcourier.so /srv/plugins/");
    author.run("asynccall-host plugin lock -c shop.toml");
    author.run("asynccall-host -c shop.toml");
    have_written(&mut author, "Hello from courier.\n");

    let source = fs::read_to_string(author.path("src/lib.rs")).expect("there is one");
    let changed = source.replace(
        "payload.text)",
        &format!("payload.text.replace(\"Hello\", \"{GREETING}\"))"),
    );
    assert_ne!(source, changed);
    fs::write(author.path("src/lib.rs"), changed).expect("the file is written");

    // Which glibc it is depends on the machine.
    let chapter = chapter.replace("\nGLIBC_2.34\n", "\n");
    let (forwards, back) = chapter
        .split_once("When it was the wrong release")
        .expect("and back");
    let commands = author.follow(forwards);
    have_written(&mut author, "Hello from courier.\nHello again from courier.\n");
    let hash = author.run("sha256sum libcourier.so");
    let (hash, _) = hash.split_once(' ').expect("hash and name");
    let status = author.run("asynccall-host status -c shop.toml --json");
    assert!(status.contains(hash), "{hash}: {status}");
    let commands = commands + author.follow(back);
    assert_eq!(commands, 13, "{chapter}");
    have_written(
        &mut author,
        "Hello from courier.\nHello again from courier.\nHello from courier.\n",
    );

    let id = "readelf --notes FILE | grep 'Build ID'";
    let of = |author: &mut Author, file| author.run(&id.replace("FILE", file));
    let kept = of(&mut author, "keep/libcourier.so");
    assert_eq!(of(&mut author, "libcourier.so"), kept, "a core finds its symbols");
    let size = |file| fs::metadata(author.path(file)).expect("it is there").len();
    assert!(size("libcourier.so") * 2 < size("keep/libcourier.so"));
    let home = author.run(r#"echo "${CARGO_HOME:-$HOME/.cargo}""#);
    let named = format!(
        "! grep --quiet --text --fixed-strings '{}' libcourier.so",
        home.trim_end()
    );
    author.run(&named);
    author.run("asynccall-host stop -c shop.toml");
    author.wait_for_other_terminals();
}
