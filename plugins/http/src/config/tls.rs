//! Which certificate authorities are trusted.

use std::{fs, path::PathBuf, sync::Arc};

use rustls::crypto::ring;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::{ConfigError, require_absolute};

/// The system's authorities and those of `ca_file`; nothing is read where no request can need them.
pub(super) fn read(ca_file: Option<PathBuf>, needed: bool) -> Result<Option<TlsConfig>, ConfigError> {
    if !needed {
        return match ca_file {
            None => Ok(None),
            Some(_) => Err(ConfigError::Needs {
                key: "ca_file",
                needs: "a `url` that begins with `https`",
            }),
        };
    }
    let mut authorities = ca_file.map_or_else(|| Ok(Vec::new()), own)?;
    let system = rustls_native_certs::load_native_certs();
    let certificates = system
        .certs
        .iter()
        .map(|der| Certificate::from_der(der).to_owned());
    authorities.extend(certificates);
    if authorities.is_empty() {
        let reasons = system.errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        return Err(ConfigError::NoAuthorities {
            reason: reasons.join(", "),
        });
    }
    let config = TlsConfig::builder()
        .root_certs(RootCerts::from(authorities))
        // Nothing in this process installs a default.
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
    Ok(Some(config.build()))
}

/// The certificates of a PEM file.
fn own(path: PathBuf) -> Result<Vec<Certificate<'static>>, ConfigError> {
    require_absolute("ca_file", &path)?;
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => {
            let key = "ca_file".to_owned();
            return Err(ConfigError::Path { key, path, source });
        }
    };
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => {
                let reason = error.to_string();
                return Err(ConfigError::Certificate { path, reason });
            }
        }
    }
    if certificates.is_empty() {
        let reason = "no `BEGIN CERTIFICATE` in it".to_owned();
        return Err(ConfigError::Certificate { path, reason });
    }
    Ok(certificates)
}
