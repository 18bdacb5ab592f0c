//! Leases of a fleet's budgets, and what sites say of them. In prose: `docs/spec/link.md`; why it is so:
//! ADR 26.
//!
//! What is signed is a text, and goes as that text: nobody has to write it anew to see whether it is signed.
//! Amounts are as money is written, to the last digit: `12.5 EUR`.

use base::{Digest, IncarnationId, OrderId, SiteName, Timestamp, document};
use serde::{Deserialize, Serialize};

const WORD_TYPE: &str = "isonomy.lease-word";
const LEASE_TYPE: &str = "isonomy.lease";
const SIGNED_TYPE: &str = "isonomy.lease-signed";
const VERSION: u32 = 1;

/// The longest text of a lease or a word. Names of budgets and sites are short.
const TEXT_BYTES_MAX: usize = 4 * 1024;

/// What is signed begins with this, so that a signature is good for nothing else.
const LEASE_CONTEXT: &str = "isonomy lease v1\n";
const WORD_CONTEXT: &str = "isonomy lease word v1\n";

/// One fleet budget in one of its windows, at one site in one of its lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PurseName {
    pub site: SiteName,
    pub life: IncarnationId,
    /// `namespace/NAME` or `workflow/NAMESPACE/NAME`.
    pub holder: String,
    pub period: String,
    /// When the window begins; none where it never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Timestamp>,
}

/// What a hub has granted to a purse since it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lease {
    pub purse: PurseName,
    /// The life of the hub that says so.
    pub hub: IncarnationId,
    pub granted: String,
    /// The word that it answers.
    pub answers: u64,
    /// There is no more now; when there is, it is granted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_short: bool,
    pub at: Timestamp,
}

/// A lease, signed by the hub's authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedLease {
    pub lease: String,
    /// Ed25519, base64.
    pub signature: String,
    /// Certificates from whoever has signed to the root: DER, base64.
    pub chain: Vec<String>,
}

/// What a site has spent out of a purse and given back since it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Word {
    pub purse: PurseName,
    /// The hub that it is said to, if it is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<IncarnationId>,
    /// Of the words of one purse, the larger is the later.
    pub number: u64,
    /// As far as the site has heard.
    pub granted: String,
    pub spent: String,
    pub returned: String,
    /// More is wanted: this much at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    pub at: Timestamp,
}

/// A word among the receipts, signed by the key that the site's certificates are over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedWord {
    pub word: String,
    /// SubjectPublicKeyInfo in DER, base64.
    pub signer: String,
    /// Ed25519, base64.
    pub signature: String,
}

/// Why a lease or a word cannot be read. Never with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a lease, or word of one, that this version reads")]
pub struct LeaseUnreadable;

impl PurseName {
    fn parts(&self) -> Digest {
        let window = self.window.map(Timestamp::as_millis);
        let parts = (&self.site, self.life, &self.holder, &self.period, window);
        Digest::of(&serde_json::to_vec(&parts).expect("our own types have JSON text"))
    }
}

impl Lease {
    #[must_use]
    pub fn encode(&self) -> String {
        text(document::write(LEASE_TYPE, VERSION, self))
    }

    pub fn decode(text: &str) -> Result<Self, LeaseUnreadable> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(LeaseUnreadable);
        }
        document::read_closed(text.as_bytes(), LEASE_TYPE, VERSION).map_err(|_| LeaseUnreadable)
    }

    /// What is signed of it.
    #[must_use]
    pub fn signed_bytes(text: &str) -> Vec<u8> {
        [LEASE_CONTEXT, text].concat().into_bytes()
    }

    /// The order that it goes down in: another one for each total, each answer and each life of the hub.
    #[must_use]
    pub fn order(&self) -> OrderId {
        let answers = self.answers.to_be_bytes();
        let short = [u8::from(self.is_short)];
        let (hub, purse) = (self.hub.as_uuid(), self.purse.parts());
        let parts: [&[u8]; 6] =
            [b"lease", hub.as_bytes(), purse.as_bytes(), &answers, self.granted.as_bytes(), &short];
        self.purse.life.order(&parts)
    }
}

impl Word {
    #[must_use]
    pub fn encode(&self) -> String {
        text(document::write(WORD_TYPE, VERSION, self))
    }

    pub fn decode(text: &str) -> Result<Self, LeaseUnreadable> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(LeaseUnreadable);
        }
        document::read_closed(text.as_bytes(), WORD_TYPE, VERSION).map_err(|_| LeaseUnreadable)
    }

    /// What is signed of it.
    #[must_use]
    pub fn signed_bytes(text: &str) -> Vec<u8> {
        [WORD_CONTEXT, text].concat().into_bytes()
    }

    /// By which it is taken once of its site.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        [b"lease ", self.purse.parts().as_bytes().as_slice(), &self.number.to_be_bytes()].concat()
    }

    /// In whose place it lies among a site's receipts.
    #[must_use]
    pub fn place(&self) -> OrderId {
        self.purse.life.order(&[b"word", &self.key()])
    }
}

impl SignedWord {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(SIGNED_TYPE, VERSION, self)
    }

    pub fn decode(bytes: &[u8]) -> Result<(Self, Word), LeaseUnreadable> {
        let signed: Self =
            document::read_closed(bytes, SIGNED_TYPE, VERSION).map_err(|_| LeaseUnreadable)?;
        let word = Word::decode(&signed.word)?;
        Ok((signed, word))
    }
}

/// Whether an entry of the stream is a word: for counts, so by its beginning alone.
#[must_use]
pub fn is_word(text: &str) -> bool {
    text.starts_with(r#"{"type":"isonomy.lease-signed","#)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purse() -> PurseName {
        PurseName {
            site: SiteName::parse("plant-1").expect("a name"),
            life: IncarnationId::from_uuid(uuid::Uuid::from_u128(7)),
            holder: "namespace/sales".to_owned(),
            period: "month".to_owned(),
            window: Some(Timestamp::from_millis(1_800_000_000_000)),
        }
    }

    /// Mutation: take a field that is not on the list, another version, or a text without end.
    #[test]
    fn a_word_is_a_closed_struct() {
        let word = Word {
            purse: purse(),
            hub: None,
            number: 3,
            granted: "5 EUR".to_owned(),
            spent: "1.25 EUR".to_owned(),
            returned: "0 EUR".to_owned(),
            asks: None,
            at: Timestamp::from_millis(1_800_000_000_000),
        };
        let text = word.encode();
        assert_eq!(Word::decode(&text), Ok(word.clone()));
        for wrong in [
            text.replacen('{', r#"{"later":1,"#, 1),
            text.replace(r#""v":1"#, r#""v":2"#),
            text.replace("isonomy.lease-word", "isonomy.lease"),
            text.replace("1.25 EUR", &"1".repeat(TEXT_BYTES_MAX)),
        ] {
            assert_ne!(wrong, text);
            assert_eq!(Word::decode(&wrong), Err(LeaseUnreadable), "{wrong}");
        }
        let signed = SignedWord { word: text, signer: "a2V5".into(), signature: "c2ln".into() };
        let bytes = signed.encode();
        assert!(is_word(std::str::from_utf8(&bytes).expect("text")));
        assert_eq!(SignedWord::decode(&bytes), Ok((signed, word)));
    }

    /// Mutation: leave one of what makes it another out of a word's key, or a lease's order.
    #[test]
    fn each_word_and_each_lease_is_one_of_its_own() {
        let at = Timestamp::from_millis(0);
        let zero = || "0 EUR".to_owned();
        let word = Word {
            purse: purse(),
            hub: None,
            number: 1,
            granted: zero(),
            spent: zero(),
            returned: zero(),
            asks: None,
            at,
        };
        let other = PurseName { window: None, ..purse() };
        for different in [Word { number: 2, ..word.clone() }, Word { purse: other, ..word.clone() }]
        {
            assert_ne!((different.key(), different.place()), (word.key(), word.place()));
        }
        let hub = IncarnationId::from_uuid(uuid::Uuid::from_u128(1));
        let lease = Lease { purse: purse(), hub, granted: zero(), answers: 1, is_short: false, at };
        for different in [
            Lease { hub: IncarnationId::from_uuid(uuid::Uuid::from_u128(2)), ..lease.clone() },
            Lease { granted: "1 EUR".to_owned(), ..lease.clone() },
            Lease { answers: 2, ..lease.clone() },
            Lease { is_short: true, ..lease.clone() },
        ] {
            assert_ne!(different.order(), lease.order());
        }
    }
}
