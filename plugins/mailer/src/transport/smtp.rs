//! Sending by SMTP (RFC 5321).
//!
//! The commands are given one by one, on lettre's connection but without its transport and pool, because only who
//! knows the step of a failure can judge it: a 554 in the greeting blames this host, after `DATA` the mail; a
//! connection that died while it waited can be replaced unseen, one that died in the middle of a mail cannot.
//!
//! ```text
//! pool ──▶ MAIL ─▶ RCPT… ─▶ DATA ─▶ mail ─▶ 250 ──▶ pool
//!   │ empty  │ dead                 any refusal ─▶ RSET ─▶ pool
//!   └──▶ connect ─▶ EHLO ─▶ STARTTLS ─▶ AUTH
//! ```

use std::{error::Error as _, fmt, io, time::Duration};

use lettre::{
    address::{Address, Envelope},
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{SmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt, Rset},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
        response::Response,
    },
};

use super::{
    Accepted, one_line,
    pool::{self, Pool},
};

/// Everything that is needed to reach a server, checked.
#[derive(Debug)]
pub(crate) struct SmtpSettings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: Security,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) hello: ClientId,
    /// For connecting, and for each answer.
    pub(crate) timeout: Duration,
    /// How many connections are kept between mails.
    pub(crate) pool_size: usize,
    /// How long they are kept.
    pub(crate) idle: Duration,
}

/// When the connection becomes encrypted, and whom to believe.
pub(crate) enum Security {
    None,
    Opportunistic(TlsParameters),
    Starttls(TlsParameters),
    Implicit(TlsParameters),
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Security::None => "None",
            Security::Opportunistic(_) => "Opportunistic",
            Security::Starttls(_) => "Starttls",
            Security::Implicit(_) => "Implicit",
        })
    }
}

/// A server and the connections to it.
#[derive(Debug)]
pub(crate) struct Smtp {
    settings: SmtpSettings,
    pool: Pool,
}

/// What the server was doing for the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Connect,
    Starttls,
    Auth,
    Sender(Address),
    Recipient(Address),
    Data,
    Mail,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Connect => f.write_str("the connection"),
            Step::Starttls => f.write_str("STARTTLS"),
            Step::Auth => f.write_str("the login"),
            Step::Sender(address) => write!(f, "sender `{address}`"),
            Step::Recipient(address) => write!(f, "recipient `{address}`"),
            Step::Data => f.write_str("DATA"),
            Step::Mail => f.write_str("the mail"),
        }
    }
}

/// Why the server did not take a mail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SmtpError {
    #[error("`{server}` refused {step}: {code} {text}")]
    Refused {
        server: String,
        step: Step,
        code: u16,
        text: String,
    },
    #[error("`{server}` failed at {step}: {reason}")]
    Broken {
        server: String,
        step: Step,
        reason: String,
    },
    #[error("`{server}` cannot take this mail: it does not offer {extension}")]
    Unsupported { server: String, extension: &'static str },
}

/// Replies to a mail's commands that blame the login, not the mail (RFC 4954, section 6).
const LOGIN_CODES: [u16; 4] = [530, 534, 535, 538];

impl SmtpError {
    /// Whether the job should be tried again: yes, unless the server finally refused this very mail.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            SmtpError::Broken { .. } => true,
            SmtpError::Unsupported { .. } => false,
            SmtpError::Refused {
                step: Step::Connect | Step::Starttls | Step::Auth,
                ..
            } => true,
            SmtpError::Refused { code, .. } => *code < 500 || LOGIN_CODES.contains(code),
        }
    }

    /// Whether the connection, not the mail, is at fault, and the server has seen nothing of the mail: what happens
    /// on a connection that the server closed while it waited.
    fn is_stale_connection(&self) -> bool {
        match self {
            SmtpError::Broken { step, .. } => matches!(step, Step::Sender(_)),
            SmtpError::Refused { step, code, .. } => matches!(step, Step::Sender(_)) && *code == CLOSING,
            SmtpError::Unsupported { .. } => false,
        }
    }
}

/// "Service not available, closing transmission channel" (RFC 5321, section 4.2.2).
const CLOSING: u16 = 421;

impl Smtp {
    pub(crate) fn new(settings: SmtpSettings) -> Smtp {
        let pool = Pool::new(settings.pool_size, settings.idle);
        Smtp { settings, pool }
    }

    /// Sends one mail on a waiting connection or a new one.
    pub(super) fn send(&self, envelope: &Envelope, mail: &[u8]) -> Result<Accepted, SmtpError> {
        if let Some(connection) = self.pool.take() {
            match self.send_on(connection, envelope, mail) {
                Err(error) if error.is_stale_connection() => self.pool.clear(),
                result => return result,
            }
        }
        self.send_on(self.connect()?, envelope, mail)
    }

    /// Sends one mail and decides whether the connection is fit for another.
    fn send_on(
        &self,
        mut connection: SmtpConnection,
        envelope: &Envelope,
        mail: &[u8],
    ) -> Result<Accepted, SmtpError> {
        let result = self.transaction(&mut connection, envelope, mail);
        match &result {
            Ok(_) => self.pool.park(connection),
            // The rest of a refused transaction must go before the next one (RFC 5321, section 4.1.1.5).
            Err(SmtpError::Refused { code, .. }) if *code != CLOSING => match connection.command(Rset) {
                Ok(_) => self.pool.park(connection),
                Err(_) => drop(connection),
            },
            Err(SmtpError::Unsupported { .. }) => self.pool.park(connection),
            // Its state is unknown, and asking could take another time-out.
            Err(_) => drop(connection),
        }
        result
    }

    fn transaction(
        &self,
        connection: &mut SmtpConnection,
        envelope: &Envelope,
        mail: &[u8],
    ) -> Result<Accepted, SmtpError> {
        let parameters = self.parameters(connection, envelope, mail)?;
        let sender = envelope.from().cloned();
        let step = sender.clone().map_or(Step::Mail, Step::Sender);
        connection
            .command(Mail::new(sender, parameters))
            .map_err(|error| self.error(step, &error))?;
        for recipient in envelope.to() {
            let command = Rcpt::new(recipient.clone(), Vec::new());
            let refused = |error| self.error(Step::Recipient(recipient.clone()), &error);
            connection.command(command).map_err(refused)?;
        }
        connection
            .command(Data)
            .map_err(|error| self.error(Step::Data, &error))?;
        let answer = connection
            .message(mail)
            .map_err(|error| self.error(Step::Mail, &error))?;
        Ok(accepted(&answer))
    }

    /// What the server must be told, and able to do, before a mail that is not plain ASCII (RFC 6531, RFC 6152).
    fn parameters(
        &self,
        connection: &SmtpConnection,
        envelope: &Envelope,
        mail: &[u8],
    ) -> Result<Vec<MailParameter>, SmtpError> {
        let offers = |extension, name| {
            if connection.server_info().supports_feature(extension) {
                return Ok(());
            }
            Err(SmtpError::Unsupported {
                server: self.server(),
                extension: name,
            })
        };
        let mut parameters = Vec::new();
        let mut addresses = envelope.to().iter().chain(envelope.from());
        if addresses.any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
            offers(
                Extension::SmtpUtfEight,
                "SMTPUTF8, which an address outside ASCII needs",
            )?;
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !mail.is_ascii() {
            offers(
                Extension::EightBitMime,
                "8BITMIME, which a mail outside ASCII needs",
            )?;
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        Ok(parameters)
    }

    fn connect(&self) -> Result<SmtpConnection, SmtpError> {
        let SmtpSettings {
            host,
            port,
            security,
            hello,
            timeout,
            credentials,
            ..
        } = &self.settings;
        let implicit = match security {
            Security::Implicit(parameters) => Some(parameters),
            _ => None,
        };
        let mut connection =
            SmtpConnection::connect((host.as_str(), *port), Some(*timeout), hello, implicit, None)
                .map_err(|error| self.error(Step::Connect, &error))?;
        let upgrade = match security {
            Security::Starttls(_) if !connection.can_starttls() => {
                pool::close(connection);
                let reason = "it does not offer STARTTLS, and `smtp.tls` demands it".to_owned();
                return Err(SmtpError::Broken {
                    server: self.server(),
                    step: Step::Starttls,
                    reason,
                });
            }
            Security::Starttls(parameters) => Some(parameters),
            Security::Opportunistic(parameters) if connection.can_starttls() => Some(parameters),
            _ => None,
        };
        if let Some(parameters) = upgrade
            && let Err(error) = connection.starttls(parameters, hello)
        {
            return Err(self.error(Step::Starttls, &error));
        }
        if let Some(credentials) = credentials
            && let Err(error) = connection.auth(DEFAULT_MECHANISMS, credentials)
        {
            let error = self.error(Step::Auth, &error);
            pool::close(connection);
            return Err(error);
        }
        Ok(connection)
    }

    fn server(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port)
    }

    /// Sorts lettre's error: a negative reply with the server's words, or a connection that did not work.
    fn error(&self, step: Step, error: &Error) -> SmtpError {
        let server = self.server();
        match error.status() {
            Some(code) => SmtpError::Refused {
                server,
                step,
                code: number(code),
                text: error
                    .source()
                    .map(|words| one_line(&words.to_string()))
                    .unwrap_or_default(),
            },
            None => SmtpError::Broken {
                server,
                step,
                reason: self.reason(error),
            },
        }
    }

    fn reason(&self, error: &Error) -> String {
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(io) = cause.downcast_ref::<io::Error>()
                // A socket's time-out is reported as `WouldBlock` on Linux (socket(7), SO_RCVTIMEO).
                && matches!(io.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
            {
                return format!("no answer within {:?}", self.settings.timeout);
            }
            source = cause.source();
        }
        // What lettre calls the end of the stream.
        if error.is_response()
            && error
                .source()
                .is_some_and(|cause| cause.to_string() == "incomplete response")
        {
            return "the server closed the connection".to_owned();
        }
        one_line(&error.to_string())
    }
}

fn number(code: lettre::transport::smtp::response::Code) -> u16 {
    code.severity as u16 * 100 + code.category as u16 * 10 + code.detail as u16
}

fn accepted(answer: &Response) -> Accepted {
    let code = number(answer.code());
    let words = answer.message().collect::<Vec<_>>().join(" ");
    Accepted {
        answer: one_line(&format!("{code} {words}")),
        code: Some(code),
    }
}
