//! The platform's roots, as the environment names them: each case is a process of its own, for the environment is all
//! threads'.

use std::process::Command;

use super::pair::Pair;
use super::people::{Authority, Shown};
use crate::tls::{TlsConfig, TlsServerConfig};

const ROLE: &str = "TAUT_TEST_ROOTS";
const FILE: &str = "SSL_CERT_FILE";

/// What a process says that builds a setting of the platform's roots, and how its sessions with this server end.
fn told_with(roots: &str, server: &Shown) -> String {
    let unique = format!("taut-roots-{}-{:p}", std::process::id(), roots);
    let place = std::env::temp_dir().join(unique);
    std::fs::create_dir_all(&place).unwrap();
    let files = [
        ("roots", roots),
        ("chain", &server.chain),
        ("key", &server.key),
    ];
    for (name, content) in files {
        std::fs::write(place.join(name), content).unwrap();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "tls::tests::roots::the_other_process",
        ])
        .env(ROLE, &place)
        .env(FILE, place.join("roots"))
        .env_remove("SSL_CERT_DIR")
        .output();
    std::fs::remove_dir_all(&place).unwrap();
    let child = child.unwrap();
    assert!(child.status.success(), "{child:?}");
    String::from_utf8(child.stdout).unwrap()
}

/// Of the process that is started with a role; otherwise there is nothing to be done.
#[test]
fn the_other_process() {
    let Some(place) = std::env::var_os(ROLE) else {
        return;
    };
    let place = std::path::PathBuf::from(place);
    match TlsConfig::new() {
        Err(error) => println!("refused: {error}"),
        Ok(client) => {
            let server = TlsServerConfig::files(place.join("chain"), place.join("key"));
            let pair = Pair::new(&client, &server.build().unwrap()).talk();
            println!("up: {} {:?}", pair.is_up(), pair.client.broke);
        }
    }
}

#[test]
fn the_environments_roots_are_trusted_though_some_of_them_cannot_be_read() {
    let root = Authority::new();
    let nonsense = "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n";
    let roots = format!("{nonsense}{}{nonsense}", root.pem());
    let told = told_with(&roots, &root.sign_host());
    assert!(told.contains("up: true None"), "{told}");
}

#[test]
fn no_other_roots_are_trusted_than_the_environments() {
    let told = told_with(&Authority::new().pem(), &Authority::new().sign_host());
    assert!(told.contains("up: false"), "{told}");
}

#[test]
fn a_machine_without_roots_is_told_what_to_do() {
    for roots in [
        "",
        "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n",
    ] {
        let told = told_with(roots, &Authority::new().sign_host());
        assert!(
            told.contains("refused: this machine has no root certificates"),
            "{told}"
        );
        for word in ["ca-certificates", "SSL_CERT_FILE", "ca_file", "--cacert"] {
            assert!(told.contains(word), "{told}");
        }
    }
}
