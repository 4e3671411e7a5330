//! An SMTP server that follows a script, for failures that a real server does not give on demand.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread::{self, JoinHandle},
};

/// What to do instead of agreeing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reply {
    Say(&'static str),
    /// Closes the connection without a word.
    HangUp,
    /// Says nothing until the client gives up.
    Silence,
}

/// One connection's script: what to do at which moment. A moment is the beginning of a command, `greeting`, or `mail`
/// for the end of the mail itself. Each line is used once, in order; everything else is agreed to.
type Script = Vec<(&'static str, Reply)>;

/// Serves as many connections as it has scripts for, one after another.
pub(super) struct Server {
    pub(super) port: u16,
    thread: JoinHandle<()>,
    commands: mpsc::Receiver<String>,
}

impl Server {
    pub(super) fn start(scripts: Vec<Script>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (sender, commands) = mpsc::channel();
        let thread = thread::spawn(move || {
            for script in scripts {
                let (stream, _) = listener.accept().expect("a connection");
                serve(stream, script, &sender);
            }
        });
        Server {
            port,
            thread,
            commands,
        }
    }

    /// Waits until every script was played to its end, and returns the commands of all connections.
    pub(super) fn finish(self) -> Vec<String> {
        self.thread.join().expect("the server did not panic");
        self.commands.try_iter().collect()
    }
}

/// Plays one script until the client goes or the script hangs up.
fn serve(stream: TcpStream, mut script: Script, commands: &mpsc::Sender<String>) {
    let mut writer = stream.try_clone().expect("a second handle");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    // Answers and returns whether it agreed; `None` ends the connection.
    let mut answer = |moment: &str, usual: &'static str| -> Option<bool> {
        let position = script.iter().position(|(start, _)| moment.starts_with(start));
        let text = match position.map(|index| script.remove(index).1) {
            Some(Reply::HangUp) => return None,
            Some(Reply::Silence) => return Some(false),
            Some(Reply::Say(text)) => text,
            None => usual,
        };
        writer.write_all(format!("{text}\r\n").as_bytes()).ok()?;
        Some(text.starts_with(['2', '3']))
    };
    if answer("greeting", "220 scripted.example.org").is_none() {
        return;
    }
    while let Some(command) = lines.next() {
        // Not every test asks for the commands.
        let _ = commands.send(command.clone());
        let usual = if command == "DATA" {
            "354 go on"
        } else {
            "250 2.1.0 ok"
        };
        let Some(agreed) = answer(&command, usual) else {
            return;
        };
        if command == "QUIT" {
            return;
        }
        let got_mail = command == "DATA" && agreed && lines.by_ref().any(|line| line == ".");
        if got_mail && answer("mail", "250 2.0.0 taken").is_none() {
            return;
        }
    }
}
