//! TLS: the flags of every command that connects, and the library's settings that follow from them.
//!
//! Whether a target speaks TLS is said by its scheme, or by `--tls` where it has none. A flag that would change nothing
//! is refused: whoever gave it believes to be safe. Files are read before anything runs.

mod certificate;
mod pin;
mod seen;
mod served;

use std::path::PathBuf;

use clap::Args;
use taut::{TlsConfig, TlsConfigBuilder};

use crate::exit::Fault;
use crate::target::{Scheme, Target};
pub(crate) use certificate::Certificate;
pub(crate) use seen::Seen;
pub(crate) use served::{Made, ServeTlsArgs, Served};

/// How the peer is known, and what it is told.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Speak TLS to each TARGET without a scheme; tls://host:port says it of one.
    #[arg(long)]
    pub(crate) tls: bool,
    /// The name that is asked for and that the certificate must be for. Default: the target's host.
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// Protocols to agree on one of (ALPN), the best first.
    #[arg(long, value_name = "P,…", value_delimiter = ',')]
    pub(crate) alpn: Vec<String>,
    /// Trust the authorities in this file (PEM), in place of the platform's.
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// The certificate to show, with its chain (PEM).
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The key that the peer's certificate must have, as sha256//BASE64 of its SPKI; of several, any.
    #[arg(long, value_name = "PIN")]
    pin: Vec<String>,
    /// Take any certificate, and say so; pins still count.
    #[arg(short = 'k', long, conflicts_with = "cacert")]
    insecure: bool,
}

impl TlsArgs {
    /// Whether this target is spoken to in TLS.
    pub(crate) fn is_for(&self, target: &Target) -> bool {
        match target.scheme() {
            Some(scheme) => scheme == Scheme::Tls,
            None => self.tls,
        }
    }

    /// The settings for these targets; `None` when all of them are spoken to in the clear.
    pub(crate) fn settings(&self, targets: &[Target]) -> Result<Option<TlsConfig>, Fault> {
        self.for_any_of(targets, self.builder())
    }

    /// The same, without resumption: each handshake is a whole one, with the certificate of now.
    pub(crate) fn settings_for_whole_handshakes(
        &self,
        targets: &[Target],
    ) -> Result<Option<TlsConfig>, Fault> {
        self.for_any_of(targets, self.builder().sessions_max(0))
    }

    /// The settings for a server of one's own, by the certificate that was made for it; `None` without --tls.
    pub(crate) fn settings_for_own(&self, made: Option<&Made>) -> Result<Option<TlsConfig>, Fault> {
        match made {
            Some(made) => build(self.builder().ca_pem(made.certificate_pem())).map(Some),
            None => self.refuse_idle().map(|()| None),
        }
    }

    fn for_any_of(
        &self,
        targets: &[Target],
        builder: TlsConfigBuilder,
    ) -> Result<Option<TlsConfig>, Fault> {
        match targets.iter().any(|target| self.is_for(target)) {
            true => build(builder).map(Some),
            false => self.refuse_idle().map(|()| None),
        }
    }

    fn builder(&self) -> TlsConfigBuilder {
        let mut builder = TlsConfig::builder();
        if let Some(name) = &self.sni {
            builder = builder.server_name(name);
        }
        if !self.alpn.is_empty() {
            builder = builder.alpn(self.alpn.iter().map(String::as_str));
        }
        if let Some(path) = &self.cacert {
            builder = builder.ca_file(path);
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            builder = builder.client_certificate_files(cert, key);
        }
        for pin in &self.pin {
            builder = builder.pin(pin);
        }
        match self.insecure {
            true => builder.danger_accept_invalid_certs(),
            false => builder,
        }
    }

    /// No target speaks TLS.
    fn refuse_idle(&self) -> Result<(), Fault> {
        if self.tls {
            return Err(Fault::usage(
                "--tls is for targets without a scheme, and each has one: leave out tcp://, or --tls",
            ));
        }
        let rows = [
            (self.sni.is_some(), "--sni"),
            (!self.alpn.is_empty(), "--alpn"),
            (self.cacert.is_some(), "--cacert"),
            (self.cert.is_some(), "--cert"),
            (!self.pin.is_empty(), "--pin"),
            (self.insecure, "--insecure"),
        ];
        match rows.iter().find(|(is_given, _)| *is_given) {
            Some((_, flag)) => Err(Fault::usage(format!(
                "{flag} goes with TLS: say --tls, or tls://host:port"
            ))),
            None => Ok(()),
        }
    }
}

fn build(builder: TlsConfigBuilder) -> Result<TlsConfig, Fault> {
    builder
        .build()
        .map_err(|error| Fault::usage(error.to_string()))
}
