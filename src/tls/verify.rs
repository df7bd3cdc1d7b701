//! Who is let in: webpki first, then the pins, in the same handshake. What was refused is remembered until the session
//! asks for it, which it does at once.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::hash::Hash;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::TlsConfigError;
use super::pins::Pin;

thread_local! {
    /// The certificates of the peer that was refused last on this thread: rustls keeps those of accepted ones alone, and
    /// a verifier does not know for which session it is asked.
    static REFUSED: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// What was refused just now.
pub(super) fn take_refused() -> Vec<Vec<u8>> {
    REFUSED.take()
}

fn refused(own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) {
    let all = [own].into_iter().chain(others);
    REFUSED.set(all.map(|certificate| certificate.to_vec()).collect());
}

/// Pins, of which a key must meet one where there are any.
pub(super) struct Pins {
    all: Vec<Pin>,
    sha256: &'static dyn Hash,
}

impl Pins {
    pub(super) fn new(all: Vec<Pin>, sha256: &'static dyn Hash) -> Pins {
        Pins { all, sha256 }
    }

    /// The error is one that nobody else gives.
    fn check(&self, own: &CertificateDer<'_>) -> Result<(), Error> {
        if self.all.is_empty() {
            return Ok(());
        }
        let pin = Pin::of(own, self.sha256)?;
        match pin.is_some_and(|pin| self.all.contains(&pin)) {
            true => Ok(()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }
}

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.all.fmt(f)
    }
}

/// A client's.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    /// `None`: any certificate will do.
    webpki: Option<Arc<WebPkiServerVerifier>>,
    pins: Pins,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    pub(super) fn new(
        roots: Option<RootCertStore>,
        pins: Pins,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ServerVerifier, TlsConfigError> {
        let webpki = roots.map(|roots| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|error| TlsConfigError::Refused(error.to_string()))
        });
        Ok(ServerVerifier {
            webpki: webpki.transpose()?,
            pins,
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_webpki = match &self.webpki {
            Some(webpki) => webpki.verify_server_cert(own, others, name, ocsp, now),
            None => Ok(ServerCertVerified::assertion()),
        };
        by_webpki
            .and_then(|verified| self.pins.check(own).map(|()| verified))
            .inspect_err(|_| refused(own, others))
    }

    // That the server has the certificate's key is looked at in any case: a pin would be worth nothing otherwise.

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, own, signed, &self.algorithms)
            .inspect_err(|_| refused(own, &[]))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, own, signed, &self.algorithms)
            .inspect_err(|_| refused(own, &[]))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A server's: clients must show a certificate of these authorities.
pub(super) fn client_verifier(
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsConfigError> {
    let webpki = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let webpki = webpki.map_err(|error| TlsConfigError::Refused(error.to_string()))?;
    Ok(Arc::new(ClientVerifier { webpki }))
}

#[derive(Debug)]
struct ClientVerifier {
    webpki: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.webpki.verify_client_cert(own, others, now);
        verified.inspect_err(|_| refused(own, others))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.webpki.verify_tls12_signature(message, own, signed);
        verified.inspect_err(|_| refused(own, &[]))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.webpki.verify_tls13_signature(message, own, signed);
        verified.inspect_err(|_| refused(own, &[]))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
