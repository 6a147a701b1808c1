//! What the mesh is told about this service; no service needs it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{json, Map, Value};

const ERRORS_MAX: usize = 5;

#[derive(Default)]
struct Counts {
    ok: u64,
    failed: u64,
    jwt_ok: u64,
    jwt_failed: u64,
    errors: Vec<String>,
}

#[derive(Default)]
struct Told {
    peers: BTreeMap<String, Counts>,
    refused: u64,
    refusals: Vec<String>,
    serials: Vec<String>,
    roots: Vec<String>,
}

#[derive(Default)]
pub struct Report(Mutex<Told>);

impl Report {
    pub fn add_peer(&self, peer: &str) {
        self.0.lock().unwrap().peers.insert(peer.to_owned(), Counts::default());
    }

    /// One call to that peer, and what was wrong with it.
    pub fn count(&self, peer: &str, by_jwt: bool, error: Option<String>) {
        let mut told = self.0.lock().unwrap();
        let counts = told.peers.entry(peer.to_owned()).or_default();
        match (by_jwt, error.is_none()) {
            (false, true) => counts.ok += 1,
            (false, false) => counts.failed += 1,
            (true, true) => counts.jwt_ok += 1,
            (true, false) => counts.jwt_failed += 1,
        }
        if let Some(error) = error {
            note(&mut counts.errors, format!("{}{error}", if by_jwt { "jwt: " } else { "" }));
        }
    }

    pub fn count_refusal(&self, error: String) {
        let mut told = self.0.lock().unwrap();
        told.refused += 1;
        note(&mut told.refusals, error);
    }

    /// Keeps which serial numbers and roots there were.
    pub fn saw_update(&self, serial: String, roots: impl Iterator<Item = String>) {
        let mut told = self.0.lock().unwrap();
        remember(&mut told.serials, serial);
        roots.for_each(|root| remember(&mut told.roots, root));
    }

    pub fn tell(&self) {
        let told = self.0.lock().unwrap();
        let peer = |counts: &Counts| -> Value {
            json!({"ok": counts.ok, "failed": counts.failed, "jwt_ok": counts.jwt_ok, "jwt_failed": counts.jwt_failed,
                   "errors": counts.errors})
        };
        let peers: Map<_, _> = told.peers.iter().map(|(id, counts)| (id.clone(), peer(counts))).collect();
        println!("{}", json!({"peers": peers, "refused": told.refused, "refusals": told.refusals,
                              "serials": told.serials, "roots": told.roots}));
    }
}

fn remember(seen: &mut Vec<String>, value: String) {
    if !seen.contains(&value) {
        seen.push(value);
    }
}

fn note(texts: &mut Vec<String>, text: String) {
    if texts.len() < ERRORS_MAX {
        texts.push(text);
    }
}
