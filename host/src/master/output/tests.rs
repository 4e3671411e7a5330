use std::sync::mpsc;

use super::*;

/// A directory, its outputs, and what tells that a file has grown.
fn outputs() -> (tempfile::TempDir, Outputs, mpsc::Receiver<()>) {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("state");
    pidfile::make_private(&directory).expect("a new directory");
    let (grown, told) = mpsc::channel();
    let outputs = Outputs::new(&directory, &BTreeSet::new(), move || {
        let _ = grown.send(());
    })
    .expect("it can be used");
    (parent, outputs, told)
}

#[test]
fn a_symbolic_link_in_the_place_of_an_output_is_not_followed() {
    let (parent, mut outputs, _) = outputs();
    let precious = parent.path().join("precious");
    std::fs::write(&precious, "precious").expect("a file");
    std::os::unix::fs::symlink(&precious, parent.path().join("state/1.out")).expect("a link");
    let mut theirs = outputs
        .open(Id(1))
        .expect("it is lost, and the worker starts all the same");
    theirs.write_all(b"overwritten\n").expect("written");
    assert_eq!(std::fs::read_to_string(&precious).expect("a file"), "precious");
}

fn lines(outputs: &mut Outputs) -> Vec<String> {
    outputs.look().lines.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn lines_are_told_when_they_are_complete_and_the_rest_at_the_end() {
    let (_parent, mut outputs, _) = outputs();
    let mut theirs = outputs.open(Id(1)).expect("a file");
    theirs.write_all(b"one\r\ntwo\nthr").expect("written");
    assert_eq!(lines(&mut outputs), ["one", "two"]);
    theirs.write_all(b"ee\nfour").expect("written");
    assert_eq!(lines(&mut outputs), ["three"]);
    assert_eq!(outputs.close(Id(1)), ["four"]);
    assert_eq!(outputs.close(Id(1)), [""; 0]);
}

#[test]
fn one_look_reads_a_limited_part_and_the_next_ones_the_rest() {
    let (_parent, mut outputs, _) = outputs();
    let mut theirs = outputs.open(Id(1)).expect("a file");
    let count = LINES_AT_ONCE * 2 + 1;
    theirs.write_all(&b"x\n".repeat(count)).expect("written");
    let mut looks = Vec::new();
    loop {
        let look = outputs.look();
        looks.push(look.lines.len());
        if look.again.is_none() {
            break;
        }
    }
    assert_eq!(looks, [LINES_AT_ONCE, LINES_AT_ONCE, 1]);

    theirs
        .write_all(&vec![b'x'; 3 * AT_ONCE as usize])
        .expect("written");
    let look = outputs.look();
    assert_eq!(look.again, Some(PAUSE));
    let read: usize = look.lines.iter().map(|(_, line)| line.len()).sum();
    assert!(read <= AT_ONCE as usize, "{read} bytes at once");
}

#[test]
fn of_a_flood_the_last_lines_are_kept_and_the_file_stays_small() {
    let (_parent, mut outputs, _) = outputs();
    let mut theirs = outputs.open(Id(1)).expect("a file");
    let line = [&[b'x'; 99], b"\n".as_slice()].concat();
    let flood = line.repeat(LARGEST as usize / 50);
    theirs.write_all(&flood).expect("written");
    theirs.write_all(b"the end\n").expect("written");

    let mut found = lines(&mut outputs);
    let left_out = found.remove(0);
    while found.last().is_none_or(|last| last != "the end") {
        let more = lines(&mut outputs);
        assert!(!more.is_empty(), "the end is there");
        found.extend(more);
    }
    found.pop();
    assert!(found.iter().all(|line| line.len() == 99), "lines are whole");
    let kept = found.len() * line.len();
    assert_eq!(
        left_out,
        format!("{} bytes of output left out", flood.len() - kept)
    );
    assert!(kept <= AT_ONCE as usize);
    assert!(theirs.metadata().expect("the file").len() <= AT_ONCE);
}

#[test]
fn a_worker_that_is_gone_has_a_limited_number_of_last_words() {
    let (_parent, mut outputs, _) = outputs();
    let mut theirs = outputs.open(Id(1)).expect("a file");
    theirs.write_all(&b"0123456\n".repeat(100_000)).expect("written");
    theirs.write_all(b"last").expect("written");
    let found = outputs.close(Id(1));
    assert!(found[0].ends_with(" bytes of output left out"), "{}", found[0]);
    assert_eq!(found.last().map(String::as_str), Some("last"));
    assert!(found.len() <= 1 + LAST_WORDS as usize / 8 + 1);
}

#[test]
fn a_directory_that_was_removed_is_made_anew_and_watched() {
    let (_parent, mut outputs, told) = outputs();
    let mut unlinked = outputs.open(Id(1)).expect("a file");
    fs::remove_dir_all(&outputs.directory).expect("it is removed");
    told.recv().expect("the kernel tells");
    unlinked.write_all(b"still here\n").expect("written");
    assert_eq!(lines(&mut outputs), ["still here"]);
    assert_eq!(outputs.look().again, Some(UNTOLD), "nobody tells of its growth");

    let mut theirs = outputs.open(Id(2)).expect("a file in a new directory");
    assert!(outputs.directory.join("2.out").exists());
    while told.try_recv().is_ok() {}
    theirs.write_all(b"new\n").expect("written");
    told.recv().expect("the kernel tells of the new directory");
    assert_eq!(lines(&mut outputs), ["new"]);
}

#[test]
fn a_worker_starts_without_a_file_where_none_can_be_made() {
    let (parent, mut outputs, _) = outputs();
    fs::remove_dir_all(&outputs.directory).expect("it is removed");
    fs::write(parent.path().join("state"), "in the way").expect("a file");
    let mut theirs = outputs.open(Id(1)).expect("it leads to nowhere");
    theirs.write_all(b"lost\n").expect("written");
    assert_eq!(lines(&mut outputs), [""; 0]);
    assert_eq!(outputs.close(Id(1)), [""; 0]);
}

#[test]
fn the_files_are_looked_at_once_in_each_pause_however_often_they_grow() {
    let (_parent, mut outputs, _) = outputs();
    let mut theirs = outputs.open(Id(1)).expect("a file");
    let begun = Instant::now();
    assert_eq!(outputs.deadline(), None);
    outputs.grown(begun);
    assert_eq!(outputs.deadline(), Some(begun));
    theirs.write_all(b"one\n").expect("written");
    assert_eq!(outputs.look_when_due(begun), [(Id(1), "one".to_owned())]);
    assert_eq!(outputs.deadline(), None, "everything was read");

    theirs.write_all(b"two\n").expect("written");
    outputs.grown(begun);
    outputs.grown(begun + PAUSE / 2);
    assert_eq!(outputs.look_when_due(begun + PAUSE / 2), []);
    assert_eq!(outputs.deadline(), Some(begun + PAUSE));
    assert_eq!(outputs.look_when_due(begun + PAUSE), [(Id(1), "two".to_owned())]);
}
