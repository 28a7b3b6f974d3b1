//! A certificate authority of a test's own.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::Cluster;

/// Who signs the certificate of a server.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("are legal");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is randomness");
        Self(CertifiedIssuer::self_signed(parameters, key).expect("is signed"))
    }

    /// Its certificate, for those who believe it.
    pub fn certificate(&self) -> tempfile::NamedTempFile {
        file(&self.0.pem())
    }

    /// A file with a certificate for these names and its key.
    pub fn identity(&self, names: &[&str]) -> tempfile::NamedTempFile {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let (certificate, key) = self.sign(CertificateParams::new(names).expect("are legal"));
        file(&(certificate + &key))
    }

    /// Lets a cluster speak TLS, with a certificate for these names.
    pub fn certify(&self, cluster: &Cluster, names: &[&str]) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.certify_with(cluster, CertificateParams::new(names).expect("are legal"));
    }

    /// The same with whatever a certificate may say.
    pub fn certify_with(&self, cluster: &Cluster, parameters: CertificateParams) {
        let (certificate, key) = self.sign(parameters);
        cluster.put("data/server.crt", &certificate);
        cluster.put("data/server.key", &key);
        cluster.configure("ssl = on");
    }

    /// A certificate and its key.
    fn sign(&self, parameters: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().expect("there is randomness");
        let certificate = parameters.signed_by(&key, &self.0).expect("is signed");
        (certificate.pem(), key.serialize_pem())
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("is written");
    file
}
